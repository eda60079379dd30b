# fish completion for drain-init(1)

# Whether the line does not contain COMMAND yet. After COMMAND, options are COMMAND's.
function __drain_init_before_command
    set -l skip
    for word in (commandline -opc)[2..]
        if set -q skip[1]
            set -e skip[1]
            continue
        end
        switch $word
            case --
                return 1
            case '--*=*'
            case --delay-term --drain-signal --drain-cmd --drain-file --copy-to --stop-cmd --kill-after --stop-signal -r --rewrite -p --pdeathsig -e --remap-exit
                set skip yes
            case '-*'
            case '*'
                return 1
        end
    end
end

set -l durations '500ms 1s 5s 10s 15s 30s'
set -l signals '(string split " " -- (kill -l | string join " "))'

for name in drain-init dumb-init
    set -l option complete -c $name -n __drain_init_before_command
    $option -x -l delay-term -a $durations -d 'hold the stop signal back for DURATION'
    $option -x -l drain-signal -a $signals -d 'send SIGNAL to COMMAND as the drain starts'
    $option -x -l drain-cmd -a '(__fish_complete_command)' -d 'run CMD as the drain starts'
    $option -r -l drain-file -d 'create the file PATH as the drain starts'
    $option -x -l stop-cmd -a '(__fish_complete_command)' -d 'run CMD to stop, instead of the stop signal'
    $option -x -l kill-after -a $durations -d 'send KILL this long after the stop'
    $option -x -l stop-signal -a $signals -d 'treat SIGNAL as a stop signal'
    $option -f -l wait-all -d 'wait for all processes, not only COMMAND'
    $option -f -s c -l single-child -d 'send signals to COMMAND alone'
    $option -f -s g -l group -d 'send signals to COMMAND\'s process group'
    $option -x -s r -l rewrite -a '15:0 15:2 15:3' -d 'forward R instead of S, nothing if R is 0'
    $option -f -s s -l subreaper -d 'adopt orphans even if not PID 1'
    $option -x -s p -l pdeathsig -a $signals -d 'receive SIGNAL when the parent process dies'
    $option -x -s e -l remap-exit -d 'exit with 0 if COMMAND\'s status is CODE'
    $option -f -s v -l verbose -d 'log every signal and every reaped child'
    $option -f -s q -l quiet -d 'print errors only'
    $option -f -s w -l warn-on-reap -d 'report each reaped orphan'
    $option -f -l measure-drain -d 'log the new connections of each second'
    $option -r -l copy-to -d 'copy the program to PATH and exit'
    $option -f -s h -l help -d 'print the help and exit'
    $option -f -s V -l version -d 'print the version and exit'
    # The options after `--` here have a value, which is not COMMAND.
    complete -c $name -x -a '(__fish_complete_subcommand -- --delay-term --drain-signal --drain-cmd --drain-file --copy-to --stop-cmd --kill-after --stop-signal -r --rewrite -p --pdeathsig -e --remap-exit)'
end
