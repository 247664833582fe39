#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "common/base/mem.h"
#include "labeler/select_impl.h"

enum rc select_scan_init(struct select_scan *s, struct label_store *labels,
                         const struct select_leave *leave, struct err *e)
{
    const size_t shards = (size_t)label_store_shards(labels);
    const int threads = omp_get_max_threads();

    *s = (struct select_scan){.labels = labels, .leave = leave};
    s->threads = threads < SELECT_THREADS ? threads : SELECT_THREADS;
    s->checked = mem_calloc(shards + 1, sizeof *s->checked);
    return s->checked != NULL ? RC_OK : mem_raise(e, "the label shards", shards);
}

void select_scan_release(struct select_scan *s)
{
    mem_free(s->checked);
}

enum rc select_scan_key(struct select_shard *s, uint64_t position, struct key128 *key,
                        struct err *e)
{
    struct label l;
    enum rc rc = RC_OK;

    if (s->reader == NULL) {
        rc = label_reader_open(s->scan->labels, s->i, atomic_load(&s->scan->checked[s->i]) != 0,
                               &s->reader, e);
        if (rc == RC_OK) {
            atomic_store(&s->scan->checked[s->i], 1);
        }
    }
    if (rc == RC_OK) {
        rc = label_reader_at(s->reader, position, &l, e);
    }
    if (rc == RC_OK) {
        *key = l.key;
    }
    return rc;
}

static enum rc scan_check(const struct select_shard *s, struct err *e)
{
    const int classes = label_store_lineage(s->scan->labels)->n_classes;
    const struct label_summary *bad = NULL;

    for (uint64_t p = 0; p < s->n; p++) {
        if (select_bits(&s->all[p]) > SELECT_BITS_ONE || s->all[p].cls >= classes) {
            bad = &s->all[p];
            break;
        }
    }
    if (bad == NULL) {
        return RC_OK;
    }
    return err_raise(e, RC_CORRUPT, "'%s/%s': a summary has confidence %g and class %d of %d",
                     label_store_path(s->scan->labels),
                     label_store_shard(s->scan->labels, s->i)->name, (double)bad->confidence,
                     bad->cls, classes);
}

static enum rc scan_one(struct select_shard *s, struct label_summary *all,
                        const struct select_visitor *v, struct err *e)
{
    enum rc rc = RC_OK;

    s->n = label_store_shard(s->scan->labels, s->i)->labels;
    s->all = all;
    rc = label_summary_read(s->scan->labels, s->i, s->scan->trusted, all, e);
    if (rc == RC_OK) {
        rc = scan_check(s, e);
    }
    if (rc == RC_OK && s->scan->leave != NULL && select_leave_any(s->scan->leave, s->i)) {
        for (uint64_t p = 0; p < s->n; p++) {
            all[p].confidence = select_leave_has(s->scan->leave, s->i, p) ? 0 : all[p].confidence;
        }
    }
    return rc == RC_OK ? v->visit(v->ctx, s, e) : rc;
}

/* Room for the summary of any shard. */
static struct label_summary *scan_room(const struct select_scan *s)
{
    uint64_t most = 1;

    for (int i = 0; i < label_store_shards(s->labels); i++) {
        const uint64_t n = label_store_shard(s->labels, i)->labels;

        most = n > most ? n : most;
    }
    return mem_calloc((size_t)most, sizeof(struct label_summary));
}

enum { SCAN_AHEAD = 32 }; /* shards that are fetched from the disk meanwhile */

/* A scan under way. Threads of our own, since those of OpenMP spin while they wait for their turn. */
struct scan_work {
    struct select_scan *scan;
    const struct select_visitor *visitor;
    atomic_int next; /* shard that is given out next */
    atomic_bool failed;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    int turn; /* shard whose in_order comes next */
    enum rc rc;
    struct err err;
};

struct scan_thread {
    struct scan_work *work;
    int number;
    pthread_t id;
};

static void scan_in_order(struct scan_work *w, struct select_shard *s, enum rc rc,
                          const struct err *err)
{
    struct err why = *err;

    (void)pthread_mutex_lock(&w->lock);
    while (w->turn != s->i) {
        (void)pthread_cond_wait(&w->turned, &w->lock);
    }
    if (rc == RC_OK && w->visitor->in_order != NULL && w->rc == RC_OK) {
        rc = w->visitor->in_order(w->visitor->ctx, s, &why);
    }
    if (rc != RC_OK && w->rc == RC_OK) {
        w->rc = rc;
        w->err = why;
        atomic_store(&w->failed, true);
    }
    w->turn++;
    (void)pthread_cond_broadcast(&w->turned);
    (void)pthread_mutex_unlock(&w->lock);
}

static void *scan_main(void *arg)
{
    struct scan_thread *t = arg;
    struct scan_work *w = t->work;
    struct label_summary *all = scan_room(w->scan);
    const int n = label_store_shards(w->scan->labels);
    int i = 0;

    while ((i = atomic_fetch_add(&w->next, 1)) < n) {
        struct select_shard shard = {.scan = w->scan, .i = i, .thread = t->number};
        struct err err = {0};
        enum rc rc = RC_OK;

        if (i + SCAN_AHEAD < n) {
            label_summary_ahead(w->scan->labels, i + SCAN_AHEAD);
        }
        if (!atomic_load(&w->failed)) {
            rc = all != NULL ? scan_one(&shard, all, w->visitor, &err)
                             : mem_raise(&err, "the summary of a label shard", 0);
        }
        scan_in_order(w, &shard, rc, &err);
        label_reader_close(shard.reader);
        mem_free(shard.made);
    }
    mem_free(all);
    return NULL;
}

enum rc select_scan_all(struct select_scan *s, const struct select_visitor *v, struct err *e)
{
    struct scan_work w = {.scan = s, .visitor = v, .rc = RC_OK};
    struct scan_thread threads[SELECT_THREADS];
    int started = 1; /* this one */

    atomic_init(&w.next, 0);
    atomic_init(&w.failed, false);
    (void)pthread_mutex_init(&w.lock, NULL);
    (void)pthread_cond_init(&w.turned, NULL);
    for (int i = 0; i < s->threads; i++) {
        threads[i] = (struct scan_thread){.work = &w, .number = i};
    }
    while (started < s->threads &&
           pthread_create(&threads[started].id, NULL, scan_main, &threads[started]) == 0) {
        started++; /* fewer do as well */
    }
    (void)scan_main(&threads[0]);
    for (int i = 1; i < started; i++) {
        (void)pthread_join(threads[i].id, NULL);
    }
    (void)pthread_cond_destroy(&w.turned);
    (void)pthread_mutex_destroy(&w.lock);
    s->trusted = s->trusted || w.rc == RC_OK;
    return w.rc == RC_OK ? RC_OK : err_raise(e, w.rc, "%s", w.err.msg);
}

void select_scan_sum(const struct select_scan *s, uint64_t *slices, size_t n)
{
    for (int t = 1; t < s->threads; t++) {
        const uint64_t *from = slices + (size_t)t * n;

        for (size_t i = 0; i < n; i++) {
            slices[i] += from[i];
        }
    }
}
