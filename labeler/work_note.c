#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "labeler/work_impl.h"

uint64_t work_note_host(void)
{
    char name[256] = "";
    char text[384];
    struct stat st = {0};
    struct digest d;
    uint64_t n = 0;

    (void)gethostname(name, sizeof name - 1);
    (void)stat("/proc/self/ns/pid", &st);
    (void)snprintf(text, sizeof text, "%s %ju %ju", name, (uintmax_t)st.st_dev,
                   (uintmax_t)st.st_ino);
    hash_digest(text, strlen(text), &d);
    memcpy(&n, d.b, sizeof n);
    return n;
}

bool work_note_sender_gone(int64_t pid)
{
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

enum rc work_note_send(struct work *w, int to, struct work_note *n, struct err *e)
{
    const size_t bytes = offsetof(struct work_note, text) + strlen(n->text) + 1;

    n->pid = getpid();
    n->host = w->host;
    n->counts = w->mine;
    return coll_send(w->config.control, to, to == 0 ? WORK_TAG_TO_ROOT : WORK_TAG_TO_RANK, n, bytes,
                     e);
}

/* Whether it is a whole note with a terminated text. */
static bool note_is_ours(const struct work_note *n, size_t bytes)
{
    return bytes > offsetof(struct work_note, text) && ((const char *)n)[bytes - 1] == '\0';
}

enum rc work_note_poll(struct work *w, int tag, struct work_note *n, int *from, struct err *e)
{
    for (;;) {
        struct err own = {0};
        size_t bytes = 0;
        enum rc rc = coll_poll(w->config.control, tag, n, sizeof *n, &bytes, from, &own);

        if (rc == RC_OK && (*from < 0 || note_is_ours(n, bytes))) {
            return RC_OK;
        }
        if (rc == RC_OK) {
            log_warn("labeler", "rank %d sent %zu bytes that are no message of ours", *from, bytes);
        } else if (rc == RC_CORRUPT) {
            log_warn("labeler", "%s", own.msg);
        } else {
            return err_raise(e, rc, "%s", own.msg);
        }
    }
}
