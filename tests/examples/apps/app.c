/* The program of Dockerfile.distroless and Dockerfile.stop-command: prints its user and
 * the signals that it receives, and exits with 3 on TERM. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    sigset_t set;
    int number;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    printf("app runs, user %d, process %d\n", (int)getuid(), (int)getpid());
    do {
        fflush(stdout);
        sigwait(&set, &number);
        printf("app got %d\n", number);
    } while (number != SIGTERM);
    return 3;
}
