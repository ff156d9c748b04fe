/*
 * PyTorch checkpoints as torch.save writes them since 1.6: a zip archive of stored entries.
 *
 *   NAME/data.pkl      a pickle: dictionary of tensors (torch_pickle.h), run by a machine that can
 *                      build data and nothing else (pickle.h)
 *   NAME/byteorder     "little"; "big" is refused
 *   NAME/data/KEY      the bytes of one storage; several tensors may lie in one
 *   NAME/version, NAME/.data/...   not needed
 *
 * Opens a lone `.bin`, `.pt`, `.pth` or `.ckpt`; in a folder `pytorch_model.bin.index.json` and the
 * files it names, or `pytorch_model.bin`, or the only file of such a name that is a checkpoint.
 * Tensors that share a storage stay separate tensors; a fact "shared_tensors" counts them. Files
 * from before 1.6, whole pickled modules and TorchScript are refused with advice. The model comes
 * out as safetensors.
 *
 * Sources: torch/serialization.py, torch/_utils.py.
 */
#ifndef COMPRESS_FORMATS_PYTORCH_H
#define COMPRESS_FORMATS_PYTORCH_H

#include "compress/formats/format.h"

/* For the row of the format table; contracts in format.h. */
bool pytorch_sniff(struct resolver *files, struct err *err);
int pytorch_open(struct resolver *files, struct model *model, struct err *err);

#endif
