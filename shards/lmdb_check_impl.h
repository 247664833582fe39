/**
 * The structure of an LMDB file, read without LMDB and without a map: LMDB follows page numbers and
 * offsets as they lie in the file, so a file whose digest nobody knows yet (a partial that a killed
 * rank left, the index of a corpus) is checked before it is mapped.
 */
#ifndef PRECEPTOR_LMDB_CHECK_IMPL_H
#define PRECEPTOR_LMDB_CHECK_IMPL_H

#include "common/base/err.h"

/** Both meta pages, every page that they lead to, every node and every list of free pages: within the
 * file, of one tree each and reached once, as LMDB 0.9 writes them on a 64-bit little-endian machine.
 * A file without a byte is a new one.
 * RC_CORRUPT  with the path, the page and what is wrong; RC_IO, RC_NOMEM */
NODISCARD enum rc lmdb_check_pages(const char *path, struct err *e);

#endif
