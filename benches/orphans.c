/* orphans COUNT - COMMAND of an init that is PID 1. Makes COUNT orphans as fast as
 * it can, waits until all are reaped, and prints what they cost PID 1: nanoseconds
 * of CPU (/proc/1/schedstat) and the highest number of zombies seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long cpu_of_init(void)
{
    long nanos = -1;
    FILE *file = fopen("/proc/1/schedstat", "r");
    if (file == NULL || fscanf(file, "%ld", &nanos) != 1) {
        fprintf(stderr, "orphans: cannot read /proc/1/schedstat\n");
        exit(2);
    }
    fclose(file);
    return nanos;
}

/* Counts the namespace's processes, except PID 1 and this one. */
static int others(int *zombies)
{
    int count = 0;
    *zombies = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        int pid = atoi(entry->d_name);
        if (pid <= 1 || pid == getpid())
            continue;
        char path[64], state = '?';
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        count++;
        if (fscanf(file, "%*d %*s %c", &state) == 1 && state == 'Z')
            ++*zombies;
        fclose(file);
    }
    if (directory)
        closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0;
    if (count < 1) {
        fprintf(stderr, "usage: orphans COUNT\n");
        return 2;
    }
    long before = cpu_of_init();
    int most = 0, zombies;
    for (int done = 0; done < count;) {
        /* PID 1 adopts the children of this middle process. */
        int batch = count - done < 100 ? count - done : 100;
        pid_t middle = fork();
        if (middle == 0) {
            for (int i = 0; i < batch; i++) {
                pid_t orphan = fork();
                if (orphan == 0)
                    _exit(0);
                if (orphan < 0)
                    _exit(1);
            }
            _exit(0);
        }
        int status;
        if (middle < 0 || waitpid(middle, &status, 0) < 0 || status != 0) {
            fprintf(stderr, "orphans: fork failed\n");
            return 1;
        }
        done += batch;
        if (done % 2000 == 0) {
            others(&zombies);
            if (zombies > most)
                most = zombies;
        }
    }
    struct timespec rest = {.tv_nsec = 1000000};
    for (int tries = 0; others(&zombies) > 0; tries++) {
        if (tries == 10000) {
            fprintf(stderr, "orphans: %d zombies remain after 10 s\n", zombies);
            return 1;
        }
        nanosleep(&rest, NULL);
    }
    printf("%ld %d\n", cpu_of_init() - before, most);
    return 0;
}
