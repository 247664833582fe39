#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rc err_raise_at(struct err *e, enum rc rc, const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL || e->rc != RC_OK) {
        return rc;
    }
    e->rc = rc;
    e->file = file;
    e->line = line;
    va_start(ap, fmt);
    (void)vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return rc;
}

void err_clear(struct err *e)
{
    memset(e, 0, sizeof *e);
}

const char *err_name(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return "success";
    case RC_INVAL:
        return "invalid input";
    case RC_NOMEM:
        return "out of memory";
    case RC_IO:
        return "input/output error";
    case RC_CORRUPT:
        return "corrupt data";
    case RC_LIB:
        return "a library refused";
    case RC_UNSUPPORTED:
        return "not supported";
    case RC_PEER:
        return "another rank failed";
    case RC_USAGE:
        return "wrong usage";
    case RC_REQUEUE:
        return "stopped on request; run the same command again to go on";
    }
    return "unknown error";
}

int err_exit_code(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return 0;
    case RC_USAGE:
        return 2;
    case RC_REQUEUE:
        return 75;
    case RC_INVAL:
    case RC_NOMEM:
    case RC_IO:
    case RC_CORRUPT:
    case RC_LIB:
    case RC_UNSUPPORTED:
    case RC_PEER:
        break;
    }
    return 1;
}
