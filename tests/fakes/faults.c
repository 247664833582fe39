/*
 * Faults on request, for LD_PRELOAD: disks that fail, fill up or do not answer, and a clock that jumps.
 *   FAULTS=OP:PATTERN:N:WHAT   OP: write, read or sync, on files whose path holds PATTERN; the N-th such
 *                              call alone, or with 'N+' from there on; WHAT: eio, full or hang
 *   FAULT_RANK=R               in that rank of an mpirun alone
 *   FAULT_CLOCK=SECONDS        the calendar's clock is that much early and late in turn
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum what { NOTHING, EIO_, FULL, HANG };

static struct {
    char op[16], pattern[256];
    long first;
    bool onwards;
    enum what what;
    double clock;
} faults;
static atomic_long faults_met;
static atomic_long clock_reads;

__attribute__((constructor)) static void faults_parse(void)
{
    const char *text = getenv("FAULTS"), *rank = getenv("FAULT_RANK");
    const char *mine = getenv("OMPI_COMM_WORLD_RANK"), *clock = getenv("FAULT_CLOCK");
    char what[16] = "", nth[16] = "";

    faults.clock = clock != NULL ? strtod(clock, NULL) : 0;
    if (text == NULL || (rank != NULL && (mine == NULL || strcmp(rank, mine) != 0))) {
        return;
    }
    if (sscanf(text, "%15[^:]:%255[^:]:%15[^:]:%15s", faults.op, faults.pattern, nth, what) == 4) {
        faults.first = strtol(nth, NULL, 10);
        faults.onwards = strchr(nth, '+') != NULL;
        faults.what = strcmp(what, "eio") == 0    ? EIO_
                      : strcmp(what, "full") == 0 ? FULL
                      : strcmp(what, "hang") == 0 ? HANG
                                                  : NOTHING;
    }
}

/* Whether this call of op on fd fails; errno says how. */
static bool faulty(const char *op, int fd)
{
    char link[64], path[4096];
    ssize_t n = 0;
    long met = 0;

    if (faults.what == NOTHING || strcmp(op, faults.op) != 0) {
        return false;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0) {
        return false;
    }
    path[n] = '\0';
    if (strstr(path, faults.pattern) == NULL) {
        return false;
    }
    met = atomic_fetch_add(&faults_met, 1) + 1;
    if (met != faults.first && !(faults.onwards && met > faults.first)) {
        return false;
    }
    while (faults.what == HANG) {
        (void)pause();
    }
    errno = faults.what == FULL ? ENOSPC : EIO;
    return true;
}

/* The next definition of a function, in *to. */
static void next(const char *name, void **to)
{
    if (*to == NULL) {
        *to = dlsym(RTLD_NEXT, name);
    }
}

#define FAULTY(op, result, name, parameters, arguments)                                            \
    result name parameters;                                                                        \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*real) parameters;                                                           \
        next(#name, (void **)&real);                                                               \
        return faulty(op, fd) ? -1 : real arguments;                                               \
    }

FAULTY("write", ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
FAULTY("write", ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
FAULTY("write", ssize_t, pwrite64, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
FAULTY("write", ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
FAULTY("write", ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
FAULTY("write", ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off_t at),
       (fd, v, n, at))
FAULTY("read", ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
FAULTY("read", ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
FAULTY("read", ssize_t, pread64, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
FAULTY("sync", int, fsync, (int fd), (fd))
FAULTY("sync", int, fdatasync, (int fd), (fd))

static long jump(void)
{
    return (long)(atomic_fetch_add(&clock_reads, 1) % 2 == 0 ? faults.clock : -faults.clock);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    int code = 0;

    next("clock_gettime", (void **)&real);
    code = real(id, t);
    if (code == 0 && id == CLOCK_REALTIME && faults.clock > 0) {
        t->tv_sec += jump();
    }
    return code;
}

time_t time(time_t *out)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL) {
        *out = t.tv_sec;
    }
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now = {0};

    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
