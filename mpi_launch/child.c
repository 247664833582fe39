#include "mpi_launch/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { CHILD_POLL_MS = 100, CHILD_CHUNK = 65536 };

struct child {
    pid_t pid;
    int out;       /* read end of its standard output */
    int failed;    /* read end: errno of a failed exec, or end of file */
    double told;   /* when it was last asked to stop; 0: not yet */
    double linger; /* seconds; 0: for ever */
    double heard;  /* when it last wrote something */
    char *buf;
    size_t used, room;
};

/* In the new process: only async-signal-safe calls until exec. mask: to be in force again. */
_Noreturn static void child_become(char *const argv[], int out, int failed, pid_t parent,
                                   const sigset_t *mask)
{
    int null = open("/dev/null", O_RDONLY);
    int code = 0;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(127);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGUSR1, SIG_IGN); /* until its own handler stands; the request is repeated */
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) {
        code = errno;
    } else {
        (void)execvp(argv[0], argv);
        code = errno;
    }
    if (write(failed, &code, sizeof code) < 0) {
        _exit(126);
    }
    _exit(127);
}

static enum rc child_start(char *const argv[], struct child *c, struct err *e)
{
    int out[2] = {-1, -1};
    int failed[2] = {-1, -1};
    pid_t parent = getpid();
    sigset_t usr1;
    sigset_t before;

    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(failed, O_CLOEXEC) != 0) {
        enum rc rc =
            err_raise(e, RC_IO, "cannot make a pipe for '%s': %s", argv[0], strerror(errno));

        if (out[0] >= 0) {
            (void)close(out[0]);
            (void)close(out[1]);
        }
        return rc;
    }
    /* Held back until the child ignores it: it would end there. */
    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &usr1, &before);
    c->pid = fork();
    if (c->pid == 0) {
        child_become(argv, out[1], failed[1], parent, &before);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(out[1]);
    (void)close(failed[1]);
    c->out = out[0];
    c->failed = failed[0];
    if (c->pid < 0) {
        return err_raise(e, RC_IO, "cannot start '%s': %s", argv[0], strerror(errno));
    }
    (void)setpgid(c->pid, c->pid);
    return RC_OK;
}

static enum rc child_started(const struct child *c, const char *name, struct err *e)
{
    int code = 0;
    ssize_t n = 0;

    do {
        n = read(c->failed, &code, sizeof code);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof code) {
        return RC_OK;
    }
    return err_raise(e, RC_IO, "cannot start '%s': %s%s", name, strerror(code),
                     code == ENOENT ? " (is it installed and in PATH?)" : "");
}

/* Read what is there; *more is false at the end of its output. */
static enum rc child_read(struct child *c, bool *more, struct err *e)
{
    ssize_t n = 0;

    if (c->room - c->used < CHILD_CHUNK + 1) {
        char *longer = mem_realloc(c->buf, c->room + 2 * CHILD_CHUNK, 1);

        if (longer == NULL) {
            return mem_raise(e, "a stage's output", c->room + 2 * CHILD_CHUNK);
        }
        c->buf = longer;
        c->room += 2 * CHILD_CHUNK;
    }
    n = read(c->out, c->buf + c->used, CHILD_CHUNK);
    if (n < 0 && errno == EINTR) {
        return RC_OK;
    }
    if (n < 0) {
        return err_raise(e, RC_IO, "cannot read a stage's output: %s", strerror(errno));
    }
    *more = n > 0;
    c->heard = clock_now();
    c->used += (size_t)n;
    if (c->used > CHILD_MAX_OUTPUT) {
        return err_raise(e, RC_IO, "a stage printed more than %d bytes of facts", CHILD_MAX_OUTPUT);
    }
    return RC_OK;
}

static void child_pass_stop(struct child *c, const volatile sig_atomic_t *stop)
{
    double now = clock_now();

    if (*stop != 0 && (c->told <= 0 || now - c->told >= 1)) {
        (void)kill(c->pid, SIGUSR1);
        c->told = now;
    }
}

static int child_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whether it has said all and does not end. */
static bool child_lingers(const struct child *c)
{
    return c->linger > 0 && c->used > 0 && c->buf[c->used - 1] == '\n' &&
           clock_now() - c->heard > c->linger;
}

static void child_kill(const struct child *c)
{
    int status = 0;

    (void)kill(-c->pid, SIGKILL);
    (void)waitpid(c->pid, &status, 0);
}

/* Follow the child to its end: output first, then its status. */
static enum rc child_follow(struct child *c, const volatile sig_atomic_t *stop, int *code,
                            struct err *e)
{
    enum rc rc = RC_OK;
    bool more = true;
    int status = 0;

    for (;;) {
        struct pollfd p = {.fd = more ? c->out : -1, .events = POLLIN};
        pid_t ended = 0;

        child_pass_stop(c, stop);
        if (poll(&p, 1, CHILD_POLL_MS) > 0) {
            rc = child_read(c, &more, e);
        }
        if (rc != RC_OK) {
            child_kill(c);
            return rc;
        }
        if (child_lingers(c)) {
            log_warn("run", "the stage has printed its result and does not end: it is killed");
            child_kill(c);
            *code = 0;
            return RC_OK;
        }
        ended = more ? 0 : waitpid(c->pid, &status, WNOHANG);
        if (ended == c->pid) {
            *code = child_exit_code(status);
            return RC_OK;
        }
        if (ended < 0 && errno != EINTR) {
            return err_raise(e, RC_IO, "lost a stage's process: %s", strerror(errno));
        }
    }
}

enum rc child_run(char *const argv[], const volatile sig_atomic_t *stop, double linger,
                  struct child_result *out, struct err *e)
{
    struct child c = {.pid = -1, .out = -1, .failed = -1, .linger = linger};
    struct child_result result = {0};
    enum rc rc = child_start(argv, &c, e);

    if (rc == RC_OK) {
        rc = child_follow(&c, stop, &result.exit_code, e);
    }
    if (rc == RC_OK) {
        rc = child_started(&c, argv[0], e);
    }
    if (rc == RC_OK) {
        c.buf[c.used] = '\0';
        result.output = c.buf;
        result.bytes = c.used;
        c.buf = NULL;
        *out = result;
    }
    mem_free(c.buf);
    if (c.out >= 0) {
        (void)close(c.out);
        (void)close(c.failed);
    }
    return rc;
}
