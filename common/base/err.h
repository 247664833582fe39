/**
 * Errors: what the caller can do (enum rc) and one sentence that names the thing.
 * The first raiser fills struct err; nobody rewrites it. On failure outputs are untouched.
 * Only mpi_launch/main.c prints an error or exits.
 */
#ifndef PRECEPTOR_ERR_H
#define PRECEPTOR_ERR_H

#define NODISCARD __attribute__((warn_unused_result))

enum rc {
    RC_OK = 0,
    RC_INVAL = -1,       /* the input or option is wrong: mend it and try again */
    RC_NOMEM = -2,       /* memory is short */
    RC_IO = -3,          /* a file or disk failed; nothing was lost */
    RC_CORRUPT = -4,     /* bytes are not what was sealed or what the format says */
    RC_LIB = -5,         /* a library refused */
    RC_UNSUPPORTED = -6, /* an answer, not a failure: use another way */
    RC_PEER = -7,        /* this rank is fine, another is not */
    RC_USAGE = -8,       /* the command line is wrong: exit code 2 */
    RC_REQUEUE = -9      /* stopped on request after saving: exit code 75 */
};

enum { ERR_MSG_MAX = 768 };

struct err {
    enum rc rc;
    const char *file; /* where it was raised */
    int line;
    char msg[ERR_MSG_MAX];
};

/** Fill e (may be NULL) with a printf-formatted sentence and return rc. Keeps an earlier error. */
#define err_raise(e, rc, ...) err_raise_at((e), (rc), __FILE__, __LINE__, __VA_ARGS__)

enum rc err_raise_at(struct err *e, enum rc rc, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/** Forget the error in e, so that another can be raised (an error that was dealt with). */
void err_clear(struct err *e);

/** "out of memory", "input/output error", ...: the fallback text when a message is empty. */
const char *err_name(enum rc rc);

/** The process's exit code for rc: 0, 1, 2 (usage) or 75 (requeue). */
int err_exit_code(enum rc rc);

#endif
