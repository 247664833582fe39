#include "student/train_folder.h"

#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

enum { TRAIN_FOLDER_PATIENCE = 15 }; /* seconds that a killed run's ranks may take to end */

enum rc train_folder_hold(const struct train_config *c, int *lock, struct err *e)
{
    enum rc rc = fs_mkdirs(c->out, e);

    return rc != RC_OK ? rc : fs_lock_dir(c->out, "training run", TRAIN_FOLDER_PATIENCE, lock, e);
}

enum rc train_folder_begin(const struct train_config *c, struct err *e)
{
    char *path = fs_join(c->out, "recipe.yaml");
    char *text = NULL;
    enum rc rc = path == NULL ? mem_raise(e, "a path", 0) : RC_OK;

    fs_sweep(c->out, "");
    if (rc == RC_OK) {
        rc = opts_dump_yaml(train_opts, c, &text, e);
    }
    if (rc == RC_OK) {
        rc = fs_write_atomic(path, text, strlen(text), e);
    }
    mem_free(text);
    mem_free(path);
    return rc;
}

void train_folder_close(int lock)
{
    if (lock >= 0) {
        (void)close(lock);
    }
}
