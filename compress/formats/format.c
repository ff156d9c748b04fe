/* The table of containers, tried in this order. */
#include "compress/formats/format.h"

#include "compress/formats/gguf.h"
#include "compress/formats/onnx.h"
#include "compress/formats/onnx_quant.h"
#include "compress/formats/pytorch.h"
#include "compress/formats/st_open.h"
#include "compress/formats/st_output.h"

#include <stdio.h>
#include <string.h>

static const struct format table[] = {
    {
        .name = "safetensors",
        .doc = "safetensors files, alone, sharded, or in a Hugging Face or diffusers folder",
        .extensions = ".safetensors, folder",
        .sniff = st_sniff,
        .open = st_open,
        .writes_as = "safetensors",
        .adapt = st_adapt,
        .lay_out = st_lay_out,
    },
    {
        .name = "gguf",
        .doc = "GGUF files of version 2 and 3, alone or split",
        .extensions = ".gguf, folder of split files",
        .sniff = gguf_sniff,
        .open = gguf_open,
        .writes_as = "gguf",
        .adapt = gguf_adapt,
        .lay_out = gguf_lay_out,
    },
    {
        .name = "pytorch",
        .doc = "PyTorch checkpoints, alone, sharded or in a Hugging Face folder; come out as "
               "safetensors",
        .extensions = ".bin, .pt, .pth, .ckpt, folder",
        .sniff = pytorch_sniff,
        .open = pytorch_open,
        .writes_as = "safetensors",
        .adapt = st_adapt,
        .lay_out = st_lay_out,
    },
    {
        .name = "onnx",
        .doc = "ONNX models of IR version 3 to 14, weights inside or in files beside them",
        .extensions = ".onnx, folder",
        .sniff = onnx_sniff,
        .open = onnx_open,
        .writes_as = "onnx",
        .adapt = onnx_quant_adapt,
        .prepare = onnx_quant_prepare,
        .lay_out = onnx_lay_out,
    },
};

enum { ROWS = sizeof table / sizeof *table };

static int unknown(const struct resolver *files, struct err *err);

const struct format *format_at(size_t i) {
    return i < ROWS ? &table[i] : NULL;
}

const struct format *format_by_name(const char *name) {
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

int format_open(struct resolver *files, struct model **ret, struct err *err) {
    const struct format *format = NULL;
    struct err sniffing = ERR_INIT;
    for (size_t i = 0; i < ROWS && !format; i++)
        if (table[i].sniff(files, &sniffing))
            format = &table[i];
    if (sniffing.code != ERR_OK) { /* a file that cannot be read is no unknown format */
        if (err)
            *err = sniffing;
        return -1;
    }
    if (!format)
        return unknown(files, err);
    struct model *model = model_new(files);
    if (!model)
        return err_set(err, ERR_NO_MEMORY, "no memory to open the model");
    model->format = format;
    if (format->open(files, model, err) < 0) {
        model_free(model);
        return -1;
    }
    *ret = model;
    return 0;
}

/* Names what was looked at, and what would have been recognised. */
static int unknown(const struct resolver *files, struct err *err) {
    char seen[200] = "", known[160] = "";
    for (size_t i = 0; i < files->count; i++) {
        size_t len = strlen(seen);
        int n =
            snprintf(seen + len, sizeof seen - len, "%s%s", len ? ", " : "", files->files[i].path);
        if (n < 0 || (size_t)n >= sizeof seen - len) {
            memcpy(seen + sizeof seen - 4, "...", 4);
            break;
        }
    }
    for (size_t i = 0; i < ROWS; i++) {
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s", len ? "; " : "", table[i].extensions);
    }
    return err_set(err, ERR_UNKNOWN_FORMAT, "no known model format in: %s (known: %s)",
                   files->count ? seen : "no files at all", known);
}
