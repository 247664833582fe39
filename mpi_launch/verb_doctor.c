#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/coll/coll.h"
#include "common/device/device.h"
#include "mpi_launch/launch_verbs.h"
#include "mpi_launch/probe.h"

struct doctor_config {
    bool json;
};

static const struct opt doctor_opts[] = {{"json", OPT_BOOL, offsetof(struct doctor_config, json),
                                          "false", 0, 0, NULL, NULL,
                                          "print the facts as one JSON object"},
                                         {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};

static const struct opt_usage doctor_usage = {
    .verb = "doctor",
    .summary = "what this machine and this MPI can do",
    .synopsis = "[--json] [FOLDER...]",
    .description =
        "Looks at processor, memory, devices, MPI and limits, and at the folders named (the\n"
        "present one if none): free space, type of file system, whether stores may lie there.\n"
        "Changes nothing. Under mpirun rank 0 looks at its own host.",
    .examples = "preceptor doctor\n"
                "preceptor doctor /scratch /data/dump --json"};

enum { DOCTOR_MAX_ROWS = 64, DOCTOR_NAME_MAX = 128 };

struct doctor_row {
    char name[DOCTOR_NAME_MAX];
    struct probe probe;
};

struct doctor_rows {
    struct doctor_row row[DOCTOR_MAX_ROWS];
    int n;
};

/* A new row; the last one again when the table is full. */
static struct probe *doctor_row(struct doctor_rows *rows, const char *name)
{
    struct doctor_row *row = NULL;

    rows->n += rows->n < DOCTOR_MAX_ROWS;
    row = &rows->row[rows->n - 1];
    *row = (struct doctor_row){0};
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    return &row->probe;
}

static void doctor_program(struct doctor_rows *rows)
{
    struct probe *p = doctor_row(rows, "program");

    (void)snprintf(p->value, sizeof p->value, "preceptor %s, compiled by %s %s, jansson %s",
                   PRECEPTOR_VERSION,
#if defined(__clang__)
                   "clang",
#else
                   "gcc",
#endif
                   __VERSION__, JANSSON_VERSION);
}

static void doctor_devices(struct doctor_rows *rows)
{
    for (int i = 0; device_backend_name(i) != NULL; i++) {
        char name[DOCTOR_NAME_MAX];
        struct device *dev = NULL;
        struct device_info info;
        struct err e = {0};
        struct probe *p = NULL;

        (void)snprintf(name, sizeof name, "device %s", device_backend_name(i));
        p = doctor_row(rows, name);
        if (device_create(device_backend_name(i), 0, &dev, &e) != RC_OK) {
            (void)snprintf(p->value, sizeof p->value, "cannot start here");
            (void)snprintf(p->advice, sizeof p->advice, "%.380s", e.msg);
            continue;
        }
        device_describe(dev, &info);
        (void)snprintf(p->value, sizeof p->value, "%s, %s, %d thread%s%s", info.library, info.isa,
                       info.threads, info.threads == 1 ? "" : "s",
                       info.has_bf16 ? ", bf16 native" : "");
        device_destroy(dev);
    }
}

/* Of use to GPUs alone: without it their gradients go through the host's memory. */
static void doctor_nccl(struct doctor_rows *rows)
{
    struct probe *p = doctor_row(rows, "nccl");
    struct err e = {0};

    if (coll_nccl_version(p->value, sizeof p->value, &e) != RC_OK) {
        (void)snprintf(p->value, sizeof p->value, "not here");
        (void)snprintf(p->advice, sizeof p->advice, "%.300s: gradients of GPUs go by MPI", e.msg);
    }
}

static void doctor_ranks(struct doctor_rows *rows, const struct coll *control)
{
    struct probe *p = doctor_row(rows, "ranks");

    const int threads = coll_threads(control, 0);

    (void)snprintf(p->value, sizeof p->value,
                   "%d (%s), %d on this host, each %d thread%s (cores / ranks of this host)",
                   coll_size(control), coll_name(control), coll_local_size(control), threads,
                   threads == 1 ? "" : "s");
}

static void doctor_folders(struct doctor_rows *rows, const char *const *paths, int n)
{
    static const char *const here[] = {"."};

    if (n == 0) {
        probe_folder(here[0], doctor_row(rows, "folder ."));
    }
    for (int i = 0; i < n; i++) {
        char name[DOCTOR_NAME_MAX];

        (void)snprintf(name, sizeof name, "folder %.100s", paths[i]);
        probe_folder(paths[i], doctor_row(rows, name));
    }
}

static void doctor_examine(struct doctor_rows *rows, const struct coll *control,
                           const char *const *paths, int n)
{
    char host[128] = "unknown";

    (void)gethostname(host, sizeof host - 1);
    doctor_program(rows);
    (void)snprintf(doctor_row(rows, "host")->value, PROBE_VALUE_MAX, "%s", host);
    probe_processor(doctor_row(rows, "processor"));
    probe_cores(doctor_row(rows, "cores"));
    probe_memory(doctor_row(rows, "memory"));
    doctor_devices(rows);
    doctor_nccl(rows);
    probe_mpirun(doctor_row(rows, "mpirun"));
    doctor_ranks(rows, control);
    probe_shared_memory(doctor_row(rows, "shared memory"));
    probe_limits(doctor_row(rows, "limits"));
    doctor_folders(rows, paths, n);
}

static void doctor_print(const struct doctor_rows *rows)
{
    for (int i = 0; i < rows->n; i++) {
        const struct doctor_row *row = &rows->row[i];

        printf("%-14s %s\n", row->name, row->probe.value);
        if (row->probe.advice[0] != '\0') {
            printf("%-14s   note: %s\n", "", row->probe.advice);
        }
    }
}

static enum rc doctor_print_json(const struct doctor_rows *rows, struct err *e)
{
    json_t *root = json_object();
    bool failed = root == NULL;

    for (int i = 0; i < rows->n && !failed; i++) {
        const struct doctor_row *row = &rows->row[i];

        failed = json_object_set_new(root, row->name,
                                     json_pack("{s:s,s:s}", "value", row->probe.value, "note",
                                               row->probe.advice)) != 0;
    }
    if (!failed) {
        (void)json_dumpf(root, stdout, JSON_INDENT(2));
        (void)putchar('\n');
    }
    json_decref(root);
    return failed ? mem_raise(e, "the facts", 0) : RC_OK;
}

static enum rc doctor_line(const void *options, const char *const words[], int n,
                           const struct verb_call *call, struct err *e)
{
    const struct doctor_config *c = options;
    struct doctor_rows *rows = mem_calloc(1, sizeof *rows);
    enum rc rc = RC_OK;

    if (rows == NULL) {
        return mem_raise(e, "the facts", sizeof *rows);
    }
    doctor_examine(rows, call->control, words, n);
    if (c->json) {
        rc = doctor_print_json(rows, e);
    } else {
        doctor_print(rows);
    }
    mem_free(rows);
    return rc;
}

static enum rc doctor_main(const struct verb_call *call, struct err *e)
{
    static const struct verb_line line = {&verb_doctor, &doctor_usage, doctor_line, true};

    return verb_do(call, &line, e);
}

const struct verb verb_doctor = {.name = "doctor",
                                 .summary = "what this machine and this MPI can do",
                                 .run = doctor_main,
                                 .on_all_ranks = false,
                                 .options = doctor_opts,
                                 .options_bytes = sizeof(struct doctor_config)};
