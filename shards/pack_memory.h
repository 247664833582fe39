/** How much memory pack may fill with images that wait to be sealed. */
#ifndef PRECEPTOR_PACK_MEMORY_H
#define PRECEPTOR_PACK_MEMORY_H

#include <stdint.h>

/** Bytes: a quarter of what is available on this machine and within its cgroup, at most 1 GiB; 0 where
 * the system does not tell. */
uint64_t pack_memory(void);

#endif
