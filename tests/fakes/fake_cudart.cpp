/* A CUDA runtime for tests, on the host.
 *
 * Work is late: a stream's thread runs what is queued only while the host waits for it, so a missing
 * sync or event shows. Device memory is closed to everyone (PROT_NONE) except while the host waits,
 * so host code that touches it dies; it starts as NaN; it ends at a closed page; what is never freed
 * ends the process with code 99, and freed memory stays closed. misdeeds.sh shows that each of these
 * is noticed.
 *
 * FAKE_CUDA_EAGER=1: the other way round, too: before the stream that the host waits for, all others
 * run as far as they can, so that work that overtakes what it should have waited for shows.
 *
 * FAKE_CUDA_DEVICES=n   how many GPUs there are (1)
 * FAKE_CUDA_MEMORY=n    bytes of each (1 GiB)
 * FAKE_CUDA_FAIL_AT=n   the n-th piece of work that runs loses the device */
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/fakes/cuda_host.hpp"

/* The thread sanitizer must hear of each change of stack. */
#ifdef __has_feature
#define WITH_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#endif
#if WITH_TSAN
#include <sanitizer/tsan_interface.h>
#define SEEN_CREATE() __tsan_create_fiber(0)
#define SEEN_CURRENT() __tsan_get_current_fiber()
#define SEEN_SWITCH(seen) __tsan_switch_to_fiber(seen, 0)
#define SEEN_DESTROY(seen) __tsan_destroy_fiber(seen)
#else
#define SEEN_CREATE() nullptr
#define SEEN_CURRENT() nullptr
#define SEEN_SWITCH(seen) (void)(seen)
#define SEEN_DESTROY(seen) (void)(seen)
#endif

namespace {

struct block_of_memory {
    char *map;
    size_t map_bytes, bytes, slack;
};

enum : size_t { PAGE = 4096, ALIGN = 256, FREED_MAX = 2000 };
enum : unsigned char { POISON = 0xff }; /* NaN in f32 and bf16 */

std::mutex lock;
std::condition_variable changed;
std::map<char *, block_of_memory> memory;
std::deque<block_of_memory> freed; /* the last ones: closed, and empty */
struct sigaction before;
std::vector<cudaStream_t> streams;
size_t used;
int waiting; /* host threads that wait */
bool is_open; /* device memory: while work runs that somebody waits for */
long runs;
bool lost;
thread_local cudaError_t last_error;
thread_local int current_device;

long setting(const char *name, long otherwise)
{
    const char *s = getenv(name);

    return s != nullptr ? strtol(s, nullptr, 10) : otherwise;
}

[[noreturn]] void die(const char *what)
{
    fprintf(stderr, "fake cuda: %s\n", what);
    fflush(stderr);
    _exit(99);
}

cudaError_t fail(cudaError_t e)
{
    last_error = e;
    return e;
}

} // namespace

struct CUstream_st {
    std::deque<std::function<void()>> queue;
    size_t queued = 0, wanted = 0, done = 0;
    bool stop = false;
    std::thread thread;
};

struct CUevent_st {
    cudaStream_t stream = nullptr;
    size_t at = 0;
};

namespace {

void set_open(bool open)
{
    for (auto &m : memory) {
        if (mprotect(m.second.map + PAGE, m.second.map_bytes - 2 * PAGE,
                     open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) {
            die("mprotect failed");
        }
    }
    is_open = open;
}

/* Work that was asked for is not done, or somebody waits for it. */
bool busy()
{
    for (cudaStream_t s : streams) {
        if (s->done < s->wanted) {
            return true;
        }
    }
    return waiting > 0;
}

void close_when_idle()
{
    if (is_open && !busy()) {
        set_open(false);
    }
}

/* Let s run up to `at`. */
void ask(cudaStream_t s, size_t at)
{
    if (s->wanted < at) {
        s->wanted = at;
        if (!is_open) {
            set_open(true);
        }
        changed.notify_all();
    }
}

void run_stream(cudaStream_t s)
{
    std::unique_lock<std::mutex> hold(lock);

    for (;;) {
        changed.wait(hold, [&] { return s->stop || s->done < s->wanted; });
        if (s->stop) {
            return;
        }
        std::function<void()> work = std::move(s->queue.front());

        s->queue.pop_front();
        lost = lost || ++runs == setting("FAKE_CUDA_FAIL_AT", 0);
        if (!lost) {
            hold.unlock();
            work();
            hold.lock();
        }
        s->done++;
        close_when_idle();
        changed.notify_all();
    }
}

/* Let s run up to `at`, and wait. */
void drain(std::unique_lock<std::mutex> &hold, cudaStream_t s, size_t at)
{
    waiting++;
    ask(s, at);
    changed.wait(hold, [&] { return s->done >= at; });
    waiting--;
    close_when_idle();
}

/* FAKE_CUDA_EAGER: what is queued elsewhere goes first; what waits for s itself is not waited for. */
void let_others_run(std::unique_lock<std::mutex> &hold, cudaStream_t s)
{
    if (setting("FAKE_CUDA_EAGER", 0) == 0) {
        return;
    }
    waiting++;
    for (cudaStream_t t : streams) {
        if (t != s) {
            ask(t, t->queued);
        }
    }
    changed.wait_for(hold, std::chrono::milliseconds(20), [&] {
        for (cudaStream_t t : streams) {
            if (t != s && t->done < t->wanted) {
                return false;
            }
        }
        return true;
    });
    waiting--;
}

void drain_all(std::unique_lock<std::mutex> &hold)
{
    for (size_t i = 0; i < streams.size(); i++) {
        drain(hold, streams[i], streams[i]->queued);
    }
}

bool known(cudaStream_t s)
{
    for (cudaStream_t t : streams) {
        if (t == s) {
            return true;
        }
    }
    return false;
}

/* Of a touch of closed memory: whose it is. No lock: the process ends. */
void on_fault(int, siginfo_t *info, void *)
{
    const char *at = static_cast<const char *>(info->si_addr);
    const char *what = nullptr;

    for (auto &m : memory) {
        if (at >= m.second.map && at < m.second.map + m.second.map_bytes) {
            what = at >= m.first && at < m.first + m.second.bytes
                       ? "device memory was touched by the host, or by work that nobody waits for"
                       : "device memory was touched beyond its end";
        }
    }
    for (const block_of_memory &m : freed) {
        if (at >= m.map && at < m.map + m.map_bytes) {
            what = "device memory was touched after it was freed";
        }
    }
    if (what != nullptr) {
        die(what);
    }
    sigaction(SIGSEGV, &before, nullptr); /* not ours: again, as it would have been */
}

struct at_exit {
    at_exit()
    {
        struct sigaction ours = {};

        ours.sa_sigaction = on_fault;
        ours.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGSEGV, &ours, &before);
    }

    ~at_exit()
    {
        if (!memory.empty()) {
            fprintf(stderr, "fake cuda: %zu pieces of device memory, %zu bytes, were never freed\n",
                    memory.size(), used);
            die("leak");
        }
    }
} at_exit;

} // namespace

size_t fake_offset(const void *p)
{
    std::unique_lock<std::mutex> hold(lock);
    const char *q = static_cast<const char *>(p);
    auto after = memory.upper_bound(const_cast<char *>(q));

    if (after == memory.begin()) {
        die("an address that is not of device memory");
    }
    auto m = std::prev(after);

    if ((size_t)(q - m->first) > m->second.bytes) {
        die("an address that is not of device memory");
    }
    return (size_t)(q - m->first);
}

bool fake_enqueue(cudaStream_t s, std::function<void()> work)
{
    std::unique_lock<std::mutex> hold(lock);

    if (!known(s)) {
        die("work on a stream that does not exist (the default stream is not used)");
    }
    if (lost) {
        return false;
    }
    s->queue.push_back(std::move(work));
    s->queued++;
    return true;
}

/* ---- kernels: the threads of a block are fibers, so that they can meet at __syncthreads --------- */

thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { STACK = 256 << 10 };

/* Where a fiber or its scheduler goes on; seen: the thread sanitizer's handle of it. */
struct place {
    ucontext_t context;
    void *seen = nullptr;
};

void go_on(place *from, const place *to)
{
    SEEN_SWITCH(to->seen);
    swapcontext(&from->context, &to->context);
}

struct fiber {
    place at;
    std::vector<char> stack;
    dim3 self;
    bool waits = false;
};

struct block_run {
    const std::function<void()> *thread;
    unsigned next = 0, total = 0, finished = 0;
    place scheduler;
    std::vector<fiber *> fibers;
    fiber *now = nullptr;
};

struct fibers {
    std::vector<fiber *> idle;

    ~fibers()
    {
        for (fiber *f : idle) {
            SEEN_DESTROY(f->at.seen);
            delete f;
        }
    }
};

thread_local block_run *running;
thread_local fibers pool; /* fibers that can be used again */

/* Threads of one block after another: one after the other, until one waits. */
void run_fiber()
{
    for (;;) {
        block_run *b = running;
        fiber *f = b->now;

        while (b->next < b->total) {
            unsigned i = b->next++;

            threadIdx =
                dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y);
            (*b->thread)();
            b->finished++;
        }
        go_on(&f->at, &b->scheduler);
    }
}

void resume(block_run *b, fiber *f)
{
    b->now = f;
    f->waits = false;
    threadIdx = f->self;
    b->scheduler.seen = SEEN_CURRENT();
    go_on(&b->scheduler, &f->at);
}

fiber *new_fiber()
{
    fiber *f = new fiber;

    f->stack.resize(STACK);
    getcontext(&f->at.context);
    f->at.context.uc_stack.ss_sp = f->stack.data();
    f->at.context.uc_stack.ss_size = f->stack.size();
    f->at.context.uc_link = nullptr;
    makecontext(&f->at.context, run_fiber, 0);
    f->at.seen = SEEN_CREATE();
    return f;
}

void start_fiber(block_run *b)
{
    fiber *f;

    if (pool.idle.empty()) {
        f = new_fiber();
    } else {
        f = pool.idle.back();
        pool.idle.pop_back();
    }
    b->fibers.push_back(f);
    resume(b, f);
}

void run_block(const std::function<void()> &thread)
{
    block_run b;
    size_t waits;

    b.thread = &thread;
    b.total = blockDim.x * blockDim.y * blockDim.z;
    running = &b;
    while (b.next < b.total) {
        start_fiber(&b);
    }
    do {
        waits = 0;
        for (fiber *f : b.fibers) {
            waits += f->waits;
        }
        if (waits > 0 && b.finished > 0) {
            die("__syncthreads that only some threads of a block reach");
        }
        for (size_t i = 0; i < b.fibers.size() && waits > 0; i++) {
            if (b.fibers[i]->waits) {
                resume(&b, b.fibers[i]);
            }
        }
    } while (waits > 0);
    pool.idle.insert(pool.idle.end(), b.fibers.begin(), b.fibers.end());
    running = nullptr;
}

void run_grid(dim3 grid, dim3 block, const std::function<void()> &thread)
{
    gridDim = grid;
    blockDim = block;
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = dim3(x, y, z);
                run_block(thread);
            }
        }
    }
}

} // namespace

void fake_syncthreads()
{
    block_run *b = running;
    fiber *f = b->now;

    f->self = threadIdx;
    f->waits = true;
    go_on(&f->at, &b->scheduler);
}

int fake_launch(dim3 grid, dim3 block, cudaStream_t stream, std::function<void()> thread)
{
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
        block.x * block.y * block.z == 0 || block.x * block.y * block.z > 1024) {
        return fail(cudaErrorInvalidConfiguration);
    }
    return fake_enqueue(stream, [=]() { run_grid(grid, block, thread); })
               ? cudaSuccess
               : fail(cudaErrorDevicesUnavailable);
}

/* ---- the runtime's functions -------------------------------------------------------------------- */

extern "C" {

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = (int)setting("FAKE_CUDA_DEVICES", 1);
    return *n > 0 ? cudaSuccess : fail(cudaErrorNoDevice);
}

cudaError_t cudaDriverGetVersion(int *v)
{
    *v = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
    return cudaDriverGetVersion(v);
}

cudaError_t cudaSetDevice(int i)
{
    if (i < 0 || i >= setting("FAKE_CUDA_DEVICES", 1)) {
        return fail(cudaErrorInvalidDevice);
    }
    current_device = i;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *i)
{
    *i = current_device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int)
{
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "fake H100");
    p->major = 9;
    p->multiProcessorCount = 132;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;

    last_error = cudaSuccess;
    return e;
}

const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation ? "out of memory"
           : e == cudaErrorDevicesUnavailable ? "the GPU has fallen off the bus"
                                             : "a fake error";
}

const char *cudaGetErrorName(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation    ? "cudaErrorMemoryAllocation"
           : e == cudaErrorDevicesUnavailable ? "cudaErrorDevicesUnavailable"
                                             : "cudaErrorUnknown";
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *total = (size_t)setting("FAKE_CUDA_MEMORY", 1L << 30);
    *free_bytes = *total - used;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    std::unique_lock<std::mutex> hold(lock);
    size_t room = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    size_t map_bytes = (room + PAGE - 1) / PAGE * PAGE + 2 * PAGE;
    block_of_memory m = {nullptr, map_bytes, bytes, room - bytes};

    if (used + bytes > (size_t)setting("FAKE_CUDA_MEMORY", 1L << 30)) {
        return fail(cudaErrorMemoryAllocation);
    }
    m.map = static_cast<char *>(
        mmap(nullptr, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (m.map == MAP_FAILED) {
        return fail(cudaErrorMemoryAllocation);
    }
    memset(m.map, POISON, map_bytes);
    if (mprotect(m.map, map_bytes, PROT_NONE) != 0) {
        die("mprotect failed");
    }
    char *p = m.map + map_bytes - PAGE - room; /* it ends at the closed page */

    memory[p] = m;
    used += bytes;
    if (is_open) {
        set_open(true);
    }
    *out = p;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    std::unique_lock<std::mutex> hold(lock);
    auto at = memory.find(static_cast<char *>(p));

    if (p == nullptr) {
        return cudaSuccess;
    }
    if (at == memory.end()) {
        die("cudaFree of what was not allocated, or is free already");
    }
    drain_all(hold);
    set_open(true);
    for (size_t i = 0; i < at->second.slack; i++) {
        if (static_cast<unsigned char>(at->first[at->second.bytes + i]) != POISON) {
            die("something was written behind the end of device memory");
        }
    }
    used -= at->second.bytes;
    madvise(at->second.map, at->second.map_bytes, MADV_DONTNEED);
    if (mprotect(at->second.map, at->second.map_bytes, PROT_NONE) != 0) {
        die("mprotect failed");
    }
    freed.push_back(at->second);
    if (freed.size() > FREED_MAX) {
        munmap(freed.front().map, freed.front().map_bytes);
        freed.pop_front();
    }
    memory.erase(at);
    close_when_idle();
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    *out = malloc(bytes);
    return *out != nullptr ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *p)
{
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind,
                            cudaStream_t s)
{
    return fake_enqueue(s, [=]() { memcpy(dst, src, bytes); }) ? cudaSuccess
                                                                : fail(cudaErrorDevicesUnavailable);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s)
{
    return fake_enqueue(s, [=]() { memset(p, value, bytes); }) ? cudaSuccess
                                                                : fail(cudaErrorDevicesUnavailable);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    std::unique_lock<std::mutex> hold(lock);

    if (flags != cudaStreamNonBlocking) {
        die("a stream that waits for the default stream");
    }
    *out = new CUstream_st;
    streams.push_back(*out);
    (*out)->thread = std::thread(run_stream, *out);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    {
        std::unique_lock<std::mutex> hold(lock);

        if (!known(s)) {
            die("cudaStreamDestroy of what is no stream");
        }
        drain(hold, s, s->queued);
        s->stop = true;
        changed.notify_all();
        for (size_t i = 0; i < streams.size(); i++) {
            if (streams[i] == s) {
                streams.erase(streams.begin() + (long)i);
                break;
            }
        }
    }
    s->thread.join();
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    std::unique_lock<std::mutex> hold(lock);

    if (!known(s)) {
        die("cudaStreamSynchronize of what is no stream");
    }
    let_others_run(hold, s);
    drain(hold, s, s->queued);
    return lost ? fail(cudaErrorDevicesUnavailable) : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = new CUevent_st;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t ev)
{
    delete ev;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t ev, cudaStream_t s)
{
    std::unique_lock<std::mutex> hold(lock);

    if (!known(s)) {
        die("cudaEventRecord on what is no stream");
    }
    ev->stream = s;
    ev->at = s->queued;
    return cudaSuccess;
}

/* A host that asks again and again lets the work go on as one that waits does. */
cudaError_t cudaEventQuery(cudaEvent_t ev)
{
    std::unique_lock<std::mutex> hold(lock);
    cudaStream_t s = ev->stream;
    size_t at = ev->at;

    if (s == nullptr || !known(s)) {
        return cudaSuccess;
    }
    let_others_run(hold, s);
    ask(s, at);
    bool done = changed.wait_for(hold, std::chrono::milliseconds(1), [&] { return s->done >= at; });

    return lost ? fail(cudaErrorDevicesUnavailable) : done ? cudaSuccess : fail(cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t ev, unsigned)
{
    cudaStream_t from = ev->stream;
    size_t at = ev->at;

    if (from == nullptr) {
        return cudaSuccess; /* as CUDA: an event that was never recorded is done */
    }
    return fake_enqueue(s,
                        [=]() {
                            std::unique_lock<std::mutex> hold(lock);

                            if (known(from)) {
                                drain(hold, from, at);
                            }
                        })
               ? cudaSuccess
               : fail(cudaErrorDevicesUnavailable);
}

} // extern "C"
