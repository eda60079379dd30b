/* The program of Dockerfile.distroless: says whom it runs as, waits for TERM
 * and ends with a status of its own. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    sigset_t set;
    int number;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    printf("app runs, user %d, process %d\n", (int)getuid(), (int)getpid());
    fflush(stdout);
    sigwait(&set, &number);
    printf("app got %d\n", number);
    return 3;
}
