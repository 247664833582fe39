#include <stdatomic.h>
#include <string.h>

#include "labeler/select_impl.h"

enum rc select_scan_all(struct select_scan *s, select_visit *visit, void *ctx, struct err *e)
{
    int n = label_store_shards(s->labels);
    enum rc first = RC_OK;
    atomic_bool failed = false;

#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < n; i++) {
        struct label_reader *r = NULL;
        struct err err = {0};
        enum rc rc = RC_OK;

        if (atomic_load(&failed)) {
            continue;
        }
        rc = label_reader_open(s->labels, i, s->trusted, &r, &err);
        if (rc == RC_OK) {
            rc = visit(ctx, i, r, &err);
        }
        if (rc == RC_OK) {
            rc = label_reader_check(r, &err);
        }
        label_reader_close(r);
        if (rc != RC_OK) {
            atomic_store(&failed, true);
#pragma omp critical(select_scan_error)
            {
                if (first == RC_OK) {
                    first = err_raise(e, rc, "%s", err.msg);
                }
            }
        }
    }
    s->trusted = s->trusted || first == RC_OK;
    return first;
}

enum rc select_scan_check(const struct select_scan *s, int i, const struct label_summary *all,
                          uint64_t p, uint32_t *bits, struct err *e)
{
    const struct label_summary *label = &all[p];
    float confidence = label->confidence;

    memcpy(bits, &confidence, sizeof *bits);
    if (*bits <= SELECT_BITS_ONE && label->cls < label_store_lineage(s->labels)->n_classes) {
        *bits = s->leave != NULL && select_leave_has(s->leave, i, p) ? 0 : *bits;
        return RC_OK;
    }
    return err_raise(e, RC_CORRUPT, "'%s/%s': a summary has confidence %g and class %d of %d",
                     label_store_path(s->labels), label_store_shard(s->labels, i)->name,
                     (double)confidence, label->cls, label_store_lineage(s->labels)->n_classes);
}
