/* SPDX-License-Identifier: Apache-2.0 */
/* One checkpoint file; which one is written, kept and read is for checkpoint.c. */
#ifndef BDL_TRAIN_CHECKPOINT_FILE_H
#define BDL_TRAIN_CHECKPOINT_FILE_H

#include "formats/safetensors.h"
#include "train/train.h"

bdl_status bdl__checkpoint_file_write(const bdl__checkpoint_io *io, const bdl__position *position,
                                      const char *path);

/* Model, states, schedule and position change only if it succeeds. `is_damaged` is set when the
 * failure is the file's: then an older one may do. `log` may be NULL. */
bdl_status bdl__checkpoint_file_read(const bdl__checkpoint_io *io, const bdl__log *log,
                                     const char *path, bdl__position *position, bool *is_damaged);

/* The two parts of reading. Whether the file's checksum is right: */
bdl_status bdl__checkpoint_file_check(const bdl__safetensors *file, const char *path);
/* And whether document and tensors fit; then they are taken over. */
bdl_status bdl__checkpoint_file_take(const bdl__checkpoint_io *io, const bdl__log *log,
                                     const bdl__safetensors *file, const char *document,
                                     const char *path, bdl__position *position);

#endif
