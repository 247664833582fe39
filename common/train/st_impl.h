/** What reading (st_read.c) and writing (st_write.c) of safetensors share. */
#ifndef PRECEPTOR_ST_IMPL_H
#define PRECEPTOR_ST_IMPL_H

#include "common/train/safetensors.h"

enum { ST_HEADER_MAX = 100000000, ST_LENGTH_BYTES = 8 };

extern const char *const st_type_names[ST_TYPE_N];
extern const unsigned char st_type_sizes[ST_TYPE_N];

#endif
