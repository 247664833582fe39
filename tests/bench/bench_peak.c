/*
 * Run a command and watch its memory: anonymous and shared pages (RssAnon + RssShmem), mapped files aside.
 * Writes 'seconds S' and 'peak_kb K' to OUT, and ends as the command did.
 */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

static const char usage[] = "bench_peak OUT COMMAND [ARGUMENT...]";

static long anonymous_kb(const char *status)
{
    FILE *f = fopen(status, "r");
    char line[256];
    long sum = 0;
    long kb = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "RssAnon: %ld", &kb) == 1 || sscanf(line, "RssShmem: %ld", &kb) == 1) {
            sum += kb;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return sum;
}

static int watch(pid_t pid, long *peak)
{
    const struct timespec pause = {0, 5000000};
    char status[64];
    int how = 0;

    (void)snprintf(status, sizeof status, "/proc/%ld/status", (long)pid);
    while (waitpid(pid, &how, WNOHANG) == 0) {
        const long kb = anonymous_kb(status);

        *peak = kb > *peak ? kb : *peak;
        (void)nanosleep(&pause, NULL);
    }
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

int main(int argc, char **argv)
{
    const double start = clock_now();
    long peak = 0;
    FILE *out;
    pid_t pid;
    int code;

    if (argc < 3) {
        bench_usage(usage);
    }
    pid = fork();
    if (pid == 0) {
        (void)execvp(argv[2], argv + 2);
        _exit(127);
    }
    code = watch(pid, &peak);
    out = fopen(argv[1], "w");
    if (out == NULL ||
        fprintf(out, "seconds\t%.3f\npeak_kb\t%ld\n", clock_now() - start, peak) < 0 ||
        fclose(out) != 0) {
        fprintf(stderr, "bench: cannot write '%s'\n", argv[1]);
        return 1;
    }
    return code;
}
