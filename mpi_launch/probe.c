#include "mpi_launch/probe.h"

#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "mpi_launch/child.h"

/* File systems that linux/magic.h does not name. */
#define PROBE_LUSTRE 0x0BD00BD0u
#define PROBE_BEEGFS 0x19830326u
#define PROBE_GPFS 0x47504653u
#define PROBE_XFS 0x58465342u
#define PROBE_ZFS 0x2FC12FC1u
#define PROBE_FUSE 0x65735546u

static const double GIB = 1024.0 * 1024.0 * 1024.0;

/* The text after "name<blanks>:" or "name" in a file of lines; false: not there. */
static bool probe_field(const char *path, const char *name, char *out, size_t size)
{
    char line[4096];
    size_t n = strlen(name);
    bool found = false;
    FILE *f = fopen(path, "re");

    if (f == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, name, n) == 0) {
            const char *value = line + n + strspn(line + n, " \t:");

            (void)snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
            found = true;
        }
    }
    (void)fclose(f);
    return found;
}

static bool probe_has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

void probe_processor(struct probe *p)
{
    static const char *const extensions[] = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16",
                                             "amx_bf16"};
    char model[128] = "unknown";
    char flags[4096] = "";
    size_t used = 0;

    (void)probe_field("/proc/cpuinfo", "model name", model, sizeof model);
    (void)probe_field("/proc/cpuinfo", "flags", flags, sizeof flags);
    (void)snprintf(p->value, sizeof p->value, "%s;", model);
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        used = strlen(p->value);
        if (probe_has_word(flags, extensions[i])) {
            (void)snprintf(p->value + used, sizeof p->value - used, " %s", extensions[i]);
        }
    }
    if (!probe_has_word(flags, "avx512_bf16") && !probe_has_word(flags, "amx_bf16")) {
        (void)snprintf(p->advice, sizeof p->advice,
                       "bf16 is emulated here: precision f32 is faster");
    }
}

/* A training step waits for its slowest thread at every layer. */
static void probe_load(struct probe *p, int usable)
{
    double load[1] = {0};

    if (getloadavg(load, 1) == 1 && load[0] > 1.5 * usable) {
        (void)snprintf(p->advice, sizeof p->advice,
                       "a load of %.1f: other work wants these cores; on shared cores fewer "
                       "--threads can train faster than one for each core",
                       load[0]);
    }
}

void probe_cores(struct probe *p)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)online;
    char quota[64] = "";
    long long us = 0;
    long long period = 0;

    (void)snprintf(p->value, sizeof p->value, "%d of %ld usable", usable, online);
    probe_load(p, usable);
    if (probe_field("/sys/fs/cgroup/cpu.max", "", quota, sizeof quota)) {
        char *end = NULL;

        us = strtoll(quota, &end, 10);
        period = end == quota ? 0 : strtoll(end, NULL, 10);
    }
    if (us > 0 && period > 0 && us < period * usable) {
        (void)snprintf(p->advice, sizeof p->advice,
                       "a cgroup allows %.1f cores of compute: give --threads %lld",
                       (double)us / (double)period, us / period > 0 ? us / period : 1);
    }
}

/* "16384 kB" of /proc/meminfo in GiB. */
static double probe_meminfo(const char *name)
{
    char text[64] = "";

    return probe_field("/proc/meminfo", name, text, sizeof text) ? strtod(text, NULL) / (1 << 20)
                                                                 : 0;
}

void probe_memory(struct probe *p)
{
    double total = probe_meminfo("MemTotal");
    char text[64] = "";
    double limit = 0;

    (void)snprintf(p->value, sizeof p->value, "%.1f GiB, %.1f available", total,
                   probe_meminfo("MemAvailable"));
    if (probe_field("/sys/fs/cgroup/memory.max", "", text, sizeof text)) {
        limit = strtod(text, NULL) / GIB;
    }
    if (limit > 0 && limit < total) {
        (void)snprintf(p->advice, sizeof p->advice, "a cgroup allows %.1f GiB", limit);
    }
}

void probe_shared_memory(struct probe *p)
{
    struct statvfs v;
    double free_bytes = 0;

    if (statvfs("/dev/shm", &v) != 0) {
        (void)snprintf(p->value, sizeof p->value, "no /dev/shm");
        (void)snprintf(p->advice, sizeof p->advice,
                       "ranks of one host will talk over TCP: mount a tmpfs on /dev/shm");
        return;
    }
    free_bytes = (double)v.f_bavail * (double)v.f_frsize;
    (void)snprintf(p->value, sizeof p->value, "%.2f GiB free", free_bytes / GIB);
    if (free_bytes < 256.0 * 1024 * 1024) {
        (void)snprintf(p->advice, sizeof p->advice,
                       "small for several ranks (containers: --shm-size 1g)");
    }
}

static void probe_limit(int what, char *out, size_t size)
{
    struct rlimit l;

    if (getrlimit((__rlimit_resource_t)what, &l) != 0) {
        (void)snprintf(out, size, "unknown");
    } else if (l.rlim_cur == RLIM_INFINITY) {
        (void)snprintf(out, size, "unlimited");
    } else {
        (void)snprintf(out, size, "%llu", (unsigned long long)l.rlim_cur);
    }
}

void probe_limits(struct probe *p)
{
    char files[32];
    char locked[32];
    struct rlimit l;

    probe_limit(RLIMIT_NOFILE, files, sizeof files);
    probe_limit(RLIMIT_MEMLOCK, locked, sizeof locked);
    (void)snprintf(p->value, sizeof p->value, "%s open files, %s bytes of locked memory", files,
                   locked);
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < 1024) {
        (void)snprintf(p->advice, sizeof p->advice,
                       "few open files: `ulimit -n 4096` before a run with many shards");
    }
}

void probe_mpirun(struct probe *p)
{
    static char program[] = "mpirun";
    static char version[] = "--version";
    char *const argv[] = {program, version, NULL};
    const volatile sig_atomic_t stop = 0;
    struct child_result result = {0};
    enum rc rc = child_run(argv, &stop, 0, &result, NULL);

    if (rc != RC_OK || result.exit_code != 0) {
        (void)snprintf(p->value, sizeof p->value, "none in PATH");
        (void)snprintf(p->advice, sizeof p->advice,
                       "one rank alone works; for more: apt-get install openmpi-bin");
    } else {
        (void)snprintf(p->value, sizeof p->value, "%.*s", (int)strcspn(result.output, "\n"),
                       result.output);
    }
    mem_free(result.output);
}

/* What is known of a file system, by statfs's magic number. */
struct probe_fs {
    uint32_t magic;
    const char *name;
    const char *advice;
};

static const char probe_shared_advice[] =
    "sealed stores are read here without lock files, so any number of hosts may; let one `run` or "
    "`pack` write in a folder";
static const char probe_tmpfs_advice[] = "lives in memory and is gone with the machine";

static const struct probe_fs probe_file_systems[] = {
    {EXT4_SUPER_MAGIC, "ext4", ""},
    {PROBE_XFS, "xfs", ""},
    {BTRFS_SUPER_MAGIC, "btrfs", ""},
    {PROBE_ZFS, "zfs", ""},
    {OVERLAYFS_SUPER_MAGIC, "overlay", "a container's layer: keep results on a volume"},
    {TMPFS_MAGIC, "tmpfs", probe_tmpfs_advice},
    {RAMFS_MAGIC, "ramfs", probe_tmpfs_advice},
    {NFS_SUPER_MAGIC, "nfs", probe_shared_advice},
    {PROBE_LUSTRE, "lustre", probe_shared_advice},
    {PROBE_BEEGFS, "beegfs", probe_shared_advice},
    {PROBE_GPFS, "gpfs", probe_shared_advice},
    {CEPH_SUPER_MAGIC, "ceph", probe_shared_advice},
    {V9FS_MAGIC, "9p", "a host's folder seen from a virtual machine: slow for many small files"},
    {PROBE_FUSE, "fuse", "hard links and atomic renames are up to the file system behind it"},
};

static void probe_type(uint32_t magic, const char **name, const char **advice)
{
    *name = "another type";
    *advice = "";
    for (size_t i = 0; i < sizeof probe_file_systems / sizeof probe_file_systems[0]; i++) {
        if (probe_file_systems[i].magic == magic) {
            *name = probe_file_systems[i].name;
            *advice = probe_file_systems[i].advice;
        }
    }
}

void probe_folder(const char *path, struct probe *p)
{
    struct statfs fs;
    struct statvfs v;
    const char *name = NULL;
    const char *advice = NULL;

    if (statfs(path, &fs) != 0 || statvfs(path, &v) != 0) {
        (void)snprintf(p->value, sizeof p->value, "%s", strerror(errno));
        (void)snprintf(p->advice, sizeof p->advice, "give a folder that is there");
        return;
    }
    probe_type((uint32_t)fs.f_type, &name, &advice);
    (void)snprintf(p->value, sizeof p->value, "%s, %.1f of %.1f GiB free, %llu inodes free%s", name,
                   (double)v.f_bavail * (double)v.f_frsize / GIB,
                   (double)v.f_blocks * (double)v.f_frsize / GIB, (unsigned long long)v.f_favail,
                   access(path, W_OK) == 0 ? "" : ", not writable");
    (void)snprintf(p->advice, sizeof p->advice, "%s", advice);
}
