/** Archives for tests, written by libarchive. */
#ifndef PRECEPTOR_TESTS_SHARDS_HELP_ARCHIVE_H
#define PRECEPTOR_TESTS_SHARDS_HELP_ARCHIVE_H

#include "tests/shards/help.h"

#include <archive.h>
#include <archive_entry.h>

/* filter: ARCHIVE_FILTER_NONE, _GZIP, _ZSTD, ... */
static inline struct archive *help_archive(const char *path, int filter, bool zip)
{
    struct archive *a = archive_write_new();

    assert_non_null(a);
    assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
    assert_int_equal(zip ? archive_write_set_format_zip(a) : archive_write_set_format_gnutar(a),
                     ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

/* type: AE_IFREG, AE_IFLNK, ... */
static inline void help_archive_add(struct archive *a, const char *name, const void *data,
                                    size_t bytes, unsigned type)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, type == AE_IFREG ? (la_int64_t)bytes : 0);
    if (type == AE_IFLNK) {
        archive_entry_set_symlink(entry, "elsewhere");
    }
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    if (type == AE_IFREG) {
        assert_int_equal(archive_write_data(a, data, bytes), bytes);
    }
    archive_entry_free(entry);
}

static inline void help_archive_pgm(struct archive *a, const char *name, unsigned n)
{
    unsigned char data[128];
    size_t bytes = help_pgm(n, data);

    help_archive_add(a, name, data, bytes, AE_IFREG);
}

static inline void help_archive_end(struct archive *a)
{
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    (void)archive_write_free(a);
}

#endif
