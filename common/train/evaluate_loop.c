#include "common/train/evaluate_loop.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/train/calibration.h"

void evaluate_split(uint64_t n, int rank, int size, uint64_t *from, uint64_t *to)
{
    /* 128 bits: N * r of a corpus of any size */
    *from = (uint64_t)((__extension__(unsigned __int128) n) * (unsigned)rank / (unsigned)size);
    *to = (uint64_t)((__extension__(unsigned __int128) n) * (unsigned)(rank + 1) / (unsigned)size);
}

static enum rc evaluate_rows(struct net *net, const uint8_t *pixels, const int32_t *cls, int n,
                             float *rows[2], struct evaluation *v, struct err *e)
{
    int classes = net_params(net)->model.classes;
    enum rc rc = net_infer(net, pixels, rows[0], e);

    if (rc != RC_OK) {
        return rc;
    }
    net_softmax(rows[0], n, classes, rows[1]);
    for (int i = 0; i < n && rc == RC_OK; i++) {
        if (cls[i] < 0 || cls[i] >= classes) {
            return err_raise(e, RC_CORRUPT,
                             "an image has class %d, but the model has classes 0 to %d: evaluate "
                             "on a labeled corpus with the model's class list",
                             (int)cls[i], classes - 1);
        }
        evaluation_add(v, rows[1] + (size_t)i * (size_t)classes, cls[i]);
        if (v->kept != NULL) {
            rc = calibration_add(v->kept, rows[0] + (size_t)i * (size_t)classes, cls[i], e);
        }
    }
    return rc;
}

static enum rc evaluate_mine(struct net *net, int batch, evaluate_source *source, void *ctx,
                             struct progress *progress, struct evaluation *v, struct err *e)
{
    size_t floats = (size_t)batch * (size_t)net_params(net)->model.classes;
    float *buffer = mem_aligned(2 * floats * sizeof *buffer);
    float *rows[2] = {buffer, buffer + floats};
    const uint8_t *pixels = NULL;
    const int32_t *cls = NULL;
    int64_t done = 0;
    int n = 0;
    enum rc rc = RC_OK;

    if (buffer == NULL) {
        return mem_raise(e, "evaluation's probabilities", 2 * floats * sizeof *buffer);
    }
    while (rc == RC_OK) {
        rc = source(ctx, &pixels, &cls, &n, e);
        if (rc != RC_OK || n == 0) {
            break;
        }
        rc = evaluate_rows(net, pixels, cls, n, rows, v, e);
        done += n;
        if (progress != NULL) {
            progress_update(progress, done, NULL);
        }
    }
    mem_free(buffer);
    return rc;
}

enum rc evaluate_net(struct net *net, int batch, evaluate_source *source, void *ctx,
                     const char *progress, uint64_t total, struct coll *c, struct evaluation *v,
                     struct err *e)
{
    struct progress p;
    enum rc rc = RC_OK;

    if (progress != NULL) {
        progress_begin(&p, progress, "images", (int64_t)total, 0);
    }
    rc = evaluate_mine(net, batch, source, ctx, progress != NULL ? &p : NULL, v, e);
    if (progress != NULL) {
        progress_end(&p, NULL);
    }
    rc = coll_agree(c, rc, e);
    return rc == RC_OK ? evaluation_finish(v, c, e) : rc;
}
