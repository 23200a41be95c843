#include "cmd/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define RESTART_FIRST_MS 100
#define RESTART_LAST_MS  1000 /* twice as long each time that it is not even ready */

static void block_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
    sigprocmask(SIG_BLOCK, set, NULL);
}

static pid_t start_child(int (*run)(void *, int), void *context, const sigset_t *set,
                         int *ready_fd) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a host without its parent would not be started again */
        if (getppid() != parent)
            _exit(1);
        sigprocmask(SIG_UNBLOCK, set, NULL);
        exit(run(context, ends[1]));
    }
    close(ends[1]);
    *ready_fd = ends[0];
    return child;
}

/* Waits for the child; hands signals on. True in *stopping when the end was asked for. */
static int wait_child(pid_t child, const sigset_t *set, bool *stopping) {
    for (;;) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        int got = sigwaitinfo(set, NULL);
        if (got == SIGTERM || got == SIGINT) {
            *stopping = true;
            kill(child, SIGTERM);
        } else if (got == SIGHUP) {
            kill(child, SIGHUP);
        }
    }
}

static bool was_ready(int fd) {
    char byte;
    ssize_t got;
    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    close(fd);
    return got == 1;
}

static void wait_ms(int64_t ms, const sigset_t *set, bool *stopping) {
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int got = sigtimedwait(set, NULL, &span);
    *stopping = *stopping || got == SIGTERM || got == SIGINT;
}

int supervise(int (*run)(void *, int), void *context) {
    sigset_t set;
    block_signals(&set);
    bool stopping = false;
    bool ever_ready = false;
    int64_t delay_ms = RESTART_FIRST_MS;
    for (;;) {
        int ready_fd = -1;
        pid_t child = start_child(run, context, &set, &ready_fd);
        if (child < 0) {
            log_error("supervisor", "the host cannot be started: fork failed");
            return 1;
        }
        int status = wait_child(child, &set, &stopping);
        bool ready = was_ready(ready_fd);
        ever_ready = ready || ever_ready;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        if (stopping || (WIFEXITED(status) && (code == 0 || !ever_ready)))
            return stopping && WIFSIGNALED(status) ? 0 : code;
        if (ready) /* it had control: that is to be back soon, also the tenth time in a row */
            delay_ms = RESTART_FIRST_MS;
        log_error("supervisor", "the host ended (%s %d): it is started again in %lld ms",
                  WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : code, (long long)delay_ms);
        wait_ms(delay_ms, &set, &stopping);
        if (stopping)
            return 0;
        delay_ms = delay_ms * 2 > RESTART_LAST_MS ? RESTART_LAST_MS : delay_ms * 2;
    }
}
