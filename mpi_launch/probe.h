/**
 * What a machine is: probes that read, never change. Each writes a short value and, where something
 * deserves attention, advice (else an empty string).
 */
#ifndef PRECEPTOR_PROBE_H
#define PRECEPTOR_PROBE_H

enum { PROBE_VALUE_MAX = 256, PROBE_ADVICE_MAX = 384 };

struct probe {
    char value[PROBE_VALUE_MAX];
    char advice[PROBE_ADVICE_MAX];
};

void probe_processor(struct probe *p);   /* model name and its vector extensions */
void probe_cores(struct probe *p);       /* usable cores; a cgroup's quota */
void probe_memory(struct probe *p);      /* total, available; a cgroup's limit */
void probe_shared_memory(struct probe *p); /* /dev/shm: Open MPI's ranks of one host talk there */
void probe_limits(struct probe *p);      /* open files, locked memory */
void probe_mpirun(struct probe *p);      /* its version, from PATH */
/** Free space and file system type of a folder: whether stores may lie there. */
void probe_folder(const char *path, struct probe *p);

#endif
