/**
 * A stage's process: the same program, plain or under mpirun. Its standard output (facts as JSON) is
 * kept, its standard error is ours. A request to stop is passed on as SIGUSR1, which mpirun forwards
 * to every rank; the child stands in a process group of its own, so that a terminal's Ctrl-C reaches
 * it as that request and not as the end of the job.
 */
#ifndef PRECEPTOR_CHILD_H
#define PRECEPTOR_CHILD_H

#include <signal.h>
#include <stddef.h>

#include "common/base/err.h"

enum { CHILD_MAX_OUTPUT = 64 << 20 };

struct child_result {
    int exit_code; /* 128 + signal when a signal ended it */
    char *output;  /* terminated; mem_free */
    size_t bytes;
};

/** Run argv (argv[0] by PATH) to its end. stop: passed on once a second while set.
 * linger: seconds that it may live on after a whole line of output, its last act; then it is killed and
 * counts as ended with 0 (mpirun waits for ever for a host that is cut off). 0: for ever.
 * RC_IO it cannot be started (named), or it wrote more than CHILD_MAX_OUTPUT; RC_NOMEM. */
NODISCARD enum rc child_run(char *const argv[], const volatile sig_atomic_t *stop, double linger,
                            struct child_result *out, struct err *e);

#endif
