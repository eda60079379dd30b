/* forward COUNT [INIT ARG...] - measures how long a signal takes from kill() in
 * this process to the handler of a child, directly or through an init. Prints one
 * time per line, in nanoseconds.
 *
 * The child is this program again (argument "child"). Its handler writes the time
 * into memory that both share through descriptor 3. All processes run on one
 * processor, so that neither the scheduler's choice nor the wake-up of another
 * processor is measured. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    _Atomic long arrived; /* nanoseconds, 0 before the signal */
    _Atomic int ready;
    _Atomic int pid;
};

static struct shared *shared;

static long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void handle(int signal)
{
    (void)signal;
    atomic_store(&shared->arrived, now());
}

static void *map(void)
{
    void *memory = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
    if (memory == MAP_FAILED) {
        perror("forward: mmap");
        exit(2);
    }
    return memory;
}

static _Noreturn int child(void)
{
    shared = map();
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGUSR1, &action, NULL);
    atomic_store(&shared->pid, getpid());
    atomic_store(&shared->ready, 1);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return child();
    int count = argc > 1 ? atoi(argv[1]) : 0;
    if (count < 1) {
        fprintf(stderr, "usage: forward COUNT [INIT ARG...]\n");
        return 2;
    }
    int memory = memfd_create("forward", 0);
    if (memory < 0 || ftruncate(memory, sizeof *shared) != 0 || dup2(memory, 3) < 0) {
        perror("forward: memfd");
        return 2;
    }
    shared = map();
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) {
        perror("forward: sched_setaffinity");
        return 2;
    }
    pid_t init = fork();
    if (init == 0) {
        char **command = calloc(argc + 2, sizeof *command);
        int length = 0;
        for (int i = 2; i < argc; i++)
            command[length++] = argv[i];
        command[length++] = "/proc/self/exe";
        if (argc > 2) {
            static char self[4096];
            if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
                _exit(2);
            command[length - 1] = self;
        }
        command[length] = "child";
        execvp(command[0], command);
        _exit(127);
    }
    struct timespec rest = {.tv_nsec = 100000};
    while (!atomic_load(&shared->ready)) {
        if (waitpid(init, NULL, WNOHANG) == init) {
            fprintf(stderr, "forward: the init exited before its child was ready\n");
            return 1;
        }
        nanosleep(&rest, NULL);
    }
    for (int i = 0; i < count; i++) {
        atomic_store(&shared->arrived, 0);
        /* Let init and child fall asleep again. */
        nanosleep(&rest, NULL);
        long sent = now();
        kill(init, SIGUSR1);
        long arrived;
        while ((arrived = atomic_load(&shared->arrived)) == 0) {
            if (now() - sent > 5000000000L) {
                fprintf(stderr, "forward: signal %d did not arrive within 5 s\n", i);
                kill(init, SIGKILL);
                return 1;
            }
            nanosleep(&rest, NULL);
        }
        printf("%ld\n", arrived - sent);
    }
    kill(atomic_load(&shared->pid), SIGKILL);
    waitpid(init, NULL, 0);
    return 0;
}
