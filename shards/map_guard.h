/**
 * A page of a mapped file that cannot be read (a disk error, a file cut short by another) raises
 * SIGBUS. Under a guard such a page turns into zeros and the map is marked; the reader asks before it
 * believes what it read.
 *
 * Process-wide by nature: a signal handler and a table of maps. It does not touch faults elsewhere.
 */
#ifndef PRECEPTOR_MAP_GUARD_H
#define PRECEPTOR_MAP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

enum { MAP_GUARD_MAX = 4096, MAP_GUARD_NONE = -1 };

/** Guard a map; MAP_GUARD_NONE when the table is full: then a fault is fatal, as without a guard. */
int map_guard_add(const void *base, size_t bytes);
/** Before the map is unmapped. MAP_GUARD_NONE is fine. */
void map_guard_remove(int guard);
/** Whether all that was read so far was really there. */
bool map_guard_sound(int guard);

#endif
