/* The least that an init can do, as the limit to compare with: fork, exec, wait. It
 * forwards nothing. */
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int status;
    (void)argc;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    while (waitpid(-1, &status, 0) != pid)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
