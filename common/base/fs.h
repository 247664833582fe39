/**
 * Files that are whole or absent: written beside, synced, renamed.
 */
#ifndef PRECEPTOR_FS_H
#define PRECEPTOR_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/** mkdir -p. RC_IO names the folder that failed. */
NODISCARD enum rc fs_mkdirs(const char *path, struct err *e);

/** Replace path by data atomically (temporary beside it, fsync, rename, fsync of the folder).
 * RC_IO (disk full included) leaves the old file as it was and no temporary. */
NODISCARD enum rc fs_write_atomic(const char *path, const void *data, size_t bytes, struct err *e);

/** The same in pieces, for files too large to hold twice: create, append, then commit (which replaces
 * path and frees) or discard (which removes the temporary and frees; NULL is fine). */
struct fs_file;
NODISCARD enum rc fs_file_create(const char *path, struct fs_file **out, struct err *e);
NODISCARD enum rc fs_file_append(struct fs_file *f, const void *data, size_t bytes, struct err *e);
/** Frees f whatever comes out. */
NODISCARD enum rc fs_file_commit(struct fs_file *f, struct err *e);
void fs_file_discard(struct fs_file *f);

/** Read a whole regular file of at most max bytes; *out gets bytes and a terminating 0 (mem_free).
 * RC_IO cannot read; RC_INVAL it is larger than max, or not a regular file. */
NODISCARD enum rc fs_read(const char *path, size_t max, char **out, size_t *bytes, struct err *e);

/** fsync a folder, so that a rename in it lasts. */
NODISCARD enum rc fs_sync_dir(const char *path, struct err *e);

/** Whether the path exists (any kind). */
bool fs_exists(const char *path);
bool fs_is_dir(const char *path);
/** Size in bytes of a regular file; RC_IO. */
NODISCARD enum rc fs_size(const char *path, uint64_t *bytes, struct err *e);

/** "dir/name" on the heap (mem_free); NULL when out of memory. */
char *fs_join(const char *dir, const char *name);

/** Hold the folder for this process (flock) until *lock is closed; another's hold is waited for, at
 * most `seconds`, since the ranks of a killed job take a moment to end. *lock is -1 where the file
 * system has no locks. RC_INVAL: "another WHAT is at work in 'DIR'"; RC_IO. */
NODISCARD enum rc fs_lock_dir(const char *dir, const char *what, double seconds, int *lock,
                              struct err *e);

/** Remove files in dir whose names start with prefix and hold ".tmp." (left by a killed writer). */
void fs_sweep(const char *dir, const char *prefix);
/** The same for the temporaries of one file: "path.tmp.*". */
void fs_sweep_file(const char *path);

#endif
