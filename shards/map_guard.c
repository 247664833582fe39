#include "shards/map_guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct map_guard {
    atomic_uintptr_t base; /* 0: free, 1: being filled */
    atomic_size_t bytes;
    atomic_bool damaged;
};

/* A signal handler has no other place to look. */
static struct map_guard map_guards[MAP_GUARD_MAX];
static struct sigaction map_guard_before;
static uintptr_t map_guard_page;

/* Only loads, stores and the mmap system call: safe in a handler. */
static void map_guard_fault(int signal, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;

    (void)context;
    for (int i = 0; i < MAP_GUARD_MAX; i++) {
        uintptr_t base = atomic_load(&map_guards[i].base);
        void *page = NULL;

        if (base <= 1 || at < base || at - base >= atomic_load(&map_guards[i].bytes)) {
            continue;
        }
        atomic_store(&map_guards[i].damaged, true);
        page = (void *)(at & ~(map_guard_page - 1));
        if (mmap(page, map_guard_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            page) {
            return; /* the read is tried again and finds zeros */
        }
    }
    (void)sigaction(signal, &map_guard_before, NULL); /* not ours: as if we were not here */
}

/* At each map: libraries (MPI's among them) put their own handlers in place when they start. */
static void map_guard_install(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction action = {.sa_sigaction = map_guard_fault, .sa_flags = SA_SIGINFO};
    struct sigaction now;

    (void)pthread_mutex_lock(&lock);
    map_guard_page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (sigaction(SIGBUS, NULL, &now) == 0 &&
        ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != map_guard_fault)) {
        map_guard_before = now;
        (void)sigemptyset(&action.sa_mask);
        (void)sigaction(SIGBUS, &action, NULL);
    }
    (void)pthread_mutex_unlock(&lock);
}

int map_guard_add(const void *base, size_t bytes)
{
    map_guard_install();
    for (int i = 0; i < MAP_GUARD_MAX; i++) {
        uintptr_t none = 0;

        if (atomic_compare_exchange_strong(&map_guards[i].base, &none, 1)) {
            atomic_store(&map_guards[i].damaged, false);
            atomic_store(&map_guards[i].bytes, bytes);
            atomic_store(&map_guards[i].base, (uintptr_t)base);
            return i;
        }
    }
    return MAP_GUARD_NONE;
}

void map_guard_remove(int guard)
{
    if (guard >= 0) {
        atomic_store(&map_guards[guard].base, 0);
    }
}

bool map_guard_sound(int guard)
{
    return guard < 0 || !atomic_load(&map_guards[guard].damaged);
}
