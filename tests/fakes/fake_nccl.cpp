/* An NCCL for tests, between the processes of one host: ranks meet in a piece of shared memory.
 *
 * It is as asynchronous as the real one: a communicator starts on a thread of its own, an all-reduce is
 * handed to its stream only after the call has returned (the caller has to ask for the state first),
 * and runs when that stream does. It is as unforgiving, too: ranks that reduce different numbers wait
 * for ever, until they abort; but it says so. It ends the process with 99 where the caller forgets to
 * ask, uses a communicator that is gone, or leaves one behind.
 *
 * The program's dlopen("libnccl.so.2") comes here (linked with --wrap=dlopen).
 *
 * FAKE_NCCL_ABSENT=1    the library cannot be loaded
 * FAKE_NCCL_FAIL_AT=n   the n-th all-reduce of this rank fails, later, and never ends; 0: the start */
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nccl.h>

#include "tests/fakes/cuda_host.hpp"

namespace {

enum : size_t { RANKS_MAX = 16, CHUNK = 1 << 18 };

struct call {
    uint64_t number, count, offset;
    int type, op;

    bool operator==(const call &o) const
    {
        return number == o.number && count == o.count && offset == o.offset && type == o.type &&
               op == o.op;
    }
};

/* What a rank shows the others. */
struct seat {
    std::atomic<int> here, device;
    std::atomic<uint64_t> posted, taken; /* chunks */
    call now;
    unsigned char data[CHUNK];
};

struct table {
    std::atomic<int> joined, left;
    seat seats[RANKS_MAX];
};

std::mutex lock;
std::string last_error;
int alive; /* communicators */

[[noreturn]] void die(const std::string &what)
{
    fprintf(stderr, "fake nccl: %s\n", what.c_str());
    fflush(stderr);
    _exit(99);
}

struct at_exit {
    ~at_exit()
    {
        if (alive != 0) {
            die("a communicator was never destroyed");
        }
    }
} at_exit;

void nap()
{
    std::this_thread::sleep_for(std::chrono::microseconds(50));
}

long setting(const char *name, long otherwise)
{
    const char *s = getenv(name);

    return s != nullptr ? strtol(s, nullptr, 10) : otherwise;
}

} // namespace

struct ncclComm {
    table *shared = nullptr;
    int ranks = 0, rank = 0;
    uint64_t calls = 0, chunks = 0;
    std::atomic<int> state{ncclInProgress}; /* ncclResult_t */
    std::atomic<bool> aborted{false};
    std::thread start;
    std::function<void()> later; /* a call that has returned, and is not on its stream yet */
    std::atomic<int> running{0};
};

namespace {
std::vector<ncclComm *> gone; /* aborted: queued work still points to them */
}

namespace {

size_t size_of(ncclDataType_t t)
{
    return t == ncclInt64 ? 8 : t == ncclFloat32 ? 4 : 0;
}

/* Wait until every rank's counter is at n; false: aborted. */
bool all_at(ncclComm *c, std::atomic<uint64_t> seat::*counter, uint64_t n)
{
    for (int r = 0; r < c->ranks; r++) {
        while ((c->shared->seats[r].*counter).load() < n) {
            if (c->aborted) {
                return false;
            }
            nap();
        }
    }
    return true;
}

template <class T> void sum_up(ncclComm *c, T *out, size_t n, ncclRedOp_t op)
{
    for (size_t i = 0; i < n; i++) {
        T v{};

        for (int r = 0; r < c->ranks; r++) {
            T w;

            memcpy(&w, c->shared->seats[r].data + i * sizeof w, sizeof w);
            v = r == 0 ? w : op == ncclSum ? v + w : w > v ? w : v;
        }
        memcpy(out + i, &v, sizeof v);
    }
}

void hang(ncclComm *c)
{
    while (!c->aborted) {
        nap();
    }
}

/* Whether all ranks make the same call; says what differs. */
bool same_call(ncclComm *c, const call &mine)
{
    for (int r = 0; r < c->ranks; r++) {
        const call &o = c->shared->seats[r].now;

        if (!(o == mine)) {
            fprintf(stderr,
                    "fake nccl: call %llu of rank %d reduces %llu numbers at %llu, of rank %d %llu "
                    "at %llu (type %d and %d)\n",
                    (unsigned long long)mine.number, c->rank, (unsigned long long)mine.count,
                    (unsigned long long)mine.offset, r, (unsigned long long)o.count,
                    (unsigned long long)o.offset, mine.type, o.type);
            return false;
        }
    }
    return true;
}

/* On the stream's thread. */
void all_reduce(ncclComm *c, void *p, const call &mine)
{
    seat *own = &c->shared->seats[c->rank];
    size_t size = size_of((ncclDataType_t)mine.type), each = CHUNK / size;

    for (size_t at = 0; at < mine.count && !c->aborted; at += each) {
        size_t n = mine.count - at < each ? mine.count - at : each;
        char *here = static_cast<char *>(p) + at * size;

        own->now = mine;
        memcpy(own->data, here, n * size);
        own->posted = ++c->chunks;
        if (!all_at(c, &seat::posted, c->chunks)) {
            return;
        }
        if (!same_call(c, mine)) {
            return hang(c);
        }
        if (mine.type == ncclInt64) {
            sum_up(c, reinterpret_cast<int64_t *>(here), n, (ncclRedOp_t)mine.op);
        } else {
            sum_up(c, reinterpret_cast<float *>(here), n, (ncclRedOp_t)mine.op);
        }
        own->taken = c->chunks;
        if (!all_at(c, &seat::taken, c->chunks)) {
            return;
        }
    }
}

ncclResult_t refuse(ncclResult_t r, const std::string &why)
{
    std::lock_guard<std::mutex> hold(lock);

    last_error = why;
    return r;
}

/* On the communicator's own thread: all ranks, each on a GPU of its own. */
void join(ncclComm *c, int device)
{
    seat *own = &c->shared->seats[c->rank];

    own->device = device;
    own->here = 1;
    c->shared->joined++;
    while (c->shared->joined < c->ranks) {
        if (c->aborted) {
            return;
        }
        nap();
    }
    for (int r = 0; r < c->ranks; r++) {
        if (r != c->rank && c->shared->seats[r].device == device) {
            c->state = refuse(ncclInvalidUsage, "Duplicate GPU detected : rank " +
                                                    std::to_string(c->rank) + " and rank " +
                                                    std::to_string(r) + " both on CUDA device " +
                                                    std::to_string(device));
            return;
        }
    }
    c->state = setting("FAKE_NCCL_FAIL_AT", -1) == 0
                   ? refuse(ncclSystemError, "the network is unreachable")
                   : ncclSuccess;
}

void release(ncclComm *c)
{
    if (c->start.joinable()) {
        c->start.join();
    }
    munmap(c->shared, sizeof *c->shared);
    std::lock_guard<std::mutex> hold(lock);

    alive--;
    delete c;
}

} // namespace

extern "C" {

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);

void *__wrap_dlopen(const char *name, int flags)
{
    if (name == nullptr || strstr(name, "libnccl.so") == nullptr) {
        return __real_dlopen(name, flags);
    }
    return setting("FAKE_NCCL_ABSENT", 0) != 0 ? __real_dlopen("no-libnccl.so", flags)
                                               : __real_dlopen(nullptr, flags);
}

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t r)
{
    return r == ncclSystemError    ? "unhandled system error"
           : r == ncclInvalidUsage ? "invalid usage"
                                   : "a fake NCCL error";
}

const char *ncclGetLastError(ncclComm_t)
{
    std::lock_guard<std::mutex> hold(lock);

    return last_error.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static std::atomic<int> next{0};
    int fd;

    snprintf(id->internal, sizeof id->internal, "/fake-nccl-%ld-%d", (long)getpid(), next++);
    fd = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(table)) != 0) {
        return refuse(ncclSystemError, "no shared memory");
    }
    close(fd);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    int device = -1, fd = shm_open(id.internal, O_RDWR, 0600);
    auto *c = new ncclComm;

    if (ranks > (int)RANKS_MAX || rank < 0 || rank >= ranks || config->blocking != 0 || fd < 0) {
        die("a start with wrong arguments");
    }
    c->ranks = ranks;
    c->rank = rank;
    c->shared = static_cast<table *>(
        mmap(nullptr, sizeof(table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    close(fd);
    if (c->shared == MAP_FAILED) {
        die("no shared memory");
    }
    if (++c->shared->left == ranks) {
        shm_unlink(id.internal); /* all have it */
    }
    cudaGetDevice(&device);
    {
        std::lock_guard<std::mutex> hold(lock);
        alive++;
    }
    c->start = std::thread(join, c, device);
    *out = c;
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state)
{
    if (c->later) {
        auto work = std::move(c->later);

        c->later = nullptr;
        work(); /* to its stream */
        *state = ncclInProgress;
        return ncclSuccess;
    }
    *state = (ncclResult_t)c->state.load();
    return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t c, cudaStream_t stream)
{
    if (c->later || c->state != ncclSuccess) {
        die("a call on a communicator that is not ready, or has failed");
    }
    if (from != to || size_of(type) == 0 || (op != ncclSum && op != ncclMax)) {
        die("an all-reduce that this fake does not know");
    }
    call now = {++c->calls, count, fake_offset(to), (int)type, (int)op};
    bool fails = setting("FAKE_NCCL_FAIL_AT", -1) == (long)now.number;

    if (fake_offset(static_cast<char *>(to) + count * size_of(type) - 1) < now.offset) {
        die("an all-reduce that leaves its piece of device memory");
    }
    c->later = [=]() {
        c->running++;
        bool queued = fake_enqueue(stream, [=]() {
            if (fails) {
                c->state = refuse(ncclSystemError, "the network is unreachable");
                hang(c);
            } else {
                all_reduce(c, to, now);
            }
            c->running--;
        });
        if (!queued) {
            c->running--;
            c->state = refuse(ncclUnhandledCudaError, "the device is lost");
        }
    };
    return ncclInProgress;
}

ncclResult_t ncclCommFinalize(ncclComm_t c)
{
    if (c->later || c->running != 0) {
        die("the end of a communicator that still works");
    }
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t c)
{
    if (c->later || c->running != 0) {
        die("a communicator that still works is destroyed");
    }
    release(c);
    return ncclSuccess;
}

/* Work that waits ends, and what is queued does nothing any more. */
ncclResult_t ncclCommAbort(ncclComm_t c)
{
    c->aborted = true;
    c->later = nullptr;
    if (c->start.joinable()) {
        c->start.join();
    }
    std::lock_guard<std::mutex> hold(lock);

    alive--;
    gone.push_back(c);
    return ncclSuccess;
}

} // extern "C"
