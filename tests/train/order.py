"""The order in which compress/exec/batches.h gives samples, written from its description
(shuffle.h), so that another trainer meets the same batches."""

MASK = (1 << 64) - 1
ROUNDS = 64


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def permutation(seed, stream, n):
    """Which of n samples stands at each place."""
    key = mix(mix(seed) ^ stream)
    rounds = [mix(key ^ mix(r)) for r in range(ROUNDS)]
    order = []
    for x in range(n):
        for k in rounds:
            partner = (k % n - x) % n
            if mix(k ^ mix(max(x, partner))) & 1:
                x = partner
        order.append(x)
    return order


def split(seed, n, train, validation):
    """The samples for training and for validation, in their order."""
    laid = permutation(seed, 0, n)
    return laid[:round(n * train)], laid[n - round(n * validation):]


def batches(seed, samples, batch):
    """Lists of `batch` samples for ever; what is left at the end of an epoch is left out."""
    epoch = 0
    while True:
        order = permutation(seed, 1 + epoch, len(samples))
        for at in range(0, len(samples) - batch + 1, batch):
            yield [samples[i] for i in order[at:at + batch]]
        epoch += 1
