/** Inside the work service: messages, peers, the shared state. Private to labeler. */
#ifndef PRECEPTOR_WORK_IMPL_H
#define PRECEPTOR_WORK_IMPL_H

#include <pthread.h>
#include <sys/types.h>

#include "labeler/work.h"
#include "labeler/work_table.h"

enum { WORK_TAG_TO_ROOT = 7101, WORK_TAG_TO_RANK = 7102 };

enum work_kind {
    /* to rank 0 */
    WORK_ALIVE, /* counts */
    WORK_ASK,
    WORK_DONE,  /* item */
    WORK_VOTE,  /* phase, rc, token, text */
    /* from rank 0 */
    WORK_HEARD, /* stopping */
    WORK_ITEM,  /* item, attempt */
    WORK_END,
    WORK_RESULT /* phase, rc, rank, lost, text */
};

/* One message; what follows the used part of text is not sent. Ranks are one program on one kind of
 * machine, so the struct travels as it is. */
struct work_note {
    uint32_t kind;
    int32_t item;
    uint32_t attempt;
    uint32_t phase;
    int32_t rc;
    int32_t rank;
    int32_t stopping;
    int32_t lost;
    int64_t pid;   /* of the sender */
    uint64_t host; /* of the sender: equal numbers can see each other's processes */
    struct work_counts counts;
    struct digest token;
    char text[ERR_MSG_MAX];
};

struct work_vote {
    uint32_t phase; /* 0: none yet */
    enum rc rc;
    struct digest token;
    char text[ERR_MSG_MAX];
};

/* What rank 0 knows of a rank (itself included). */
struct work_peer {
    double heard;
    int64_t pid; /* 0: another host, or not known yet */
    bool lost;
    bool asks; /* waits for an item */
    struct work_counts counts;
    struct work_vote vote;
};

struct work {
    struct work_config config;
    int rank, size;
    uint64_t host;

    pthread_t thread;
    bool thread_runs;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    bool quit, stopping;
    double last_turn; /* of the service thread */
    struct work_counts mine;

    /* Rank 0 */
    pthread_mutex_t tick_lock; /* of the next three; taken before lock */
    void (*tick)(void *ctx);
    void *tick_ctx;
    double last_tick;
    struct work_table *table;
    struct work_peer *peers; /* (size) */
    bool over;               /* the last outcome is out: ranks may end */

    /* The others */
    double heard, told;   /* rank 0 was heard, was told that we live */
    int64_t root_pid;     /* 0: another host, or not known yet */
    int root_gone;        /* looks in a row that found no such process */
    bool root_lost;
    bool asked, answered; /* an answer is expected, is there */
    struct work_note answer, result; /* result.phase 0: none yet */
    struct err broken;    /* the service thread could not receive */
};

/* ---- work_note.c ------------------------------------------------------------------------------- */

/** A number that processes share which can see each other: one host, one PID namespace. */
uint64_t work_note_host(void);
/** Whether a note's sender on this host has ended. */
bool work_note_sender_gone(int64_t pid);
/** Send a note; its sender's pid, host and counts are filled in. */
NODISCARD enum rc work_note_send(struct work *w, int to, struct work_note *n, struct err *e);
/** The next note with this tag; *from -1: none. What is no note is dropped with a warning. */
NODISCARD enum rc work_note_poll(struct work *w, int tag, struct work_note *n, int *from,
                                 struct err *e);

/* ---- work_root.c: rank 0, with the lock held ------------------------------------------------- */

/** One turn of rank 0's service thread: messages, losses, answers. */
NODISCARD enum rc work_root_turn(struct work *w, double now, struct err *e);
/** Tell everybody to stop. */
void work_root_stop(struct work *w);
/** Count a vote (rank 0's own too). */
void work_root_vote(struct work *w, int rank, uint32_t phase, enum rc rc,
                    const struct digest *token, const char *text);
/** Whether every rank that is alive has voted. */
bool work_root_all_voted(const struct work *w, uint32_t phase);
/** The outcome of a complete vote, as the note that goes to all. */
void work_root_outcome(struct work *w, uint32_t phase, struct work_note *out);

#endif
