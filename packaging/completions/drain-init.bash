# bash completion for drain-init(1)                        -*- shell-script -*-

_drain_init() {
    local cur prev words cword split
    _init_completion -s -n : || return

    # Options with a value, as `--option VALUE`. -s of _init_completion splits
    # `--option=VALUE` into the same form.
    local with_value='@(-r|--rewrite|--delay-term|--drain-signal|--drain-cmd|--drain-file|--copy-to|--stop-cmd|--kill-after|--stop-signal|-p|--pdeathsig|-e|--remap-exit)'

    # From COMMAND on, complete as for COMMAND.
    local i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            --)
                ((i++))
                break
                ;;
            --*=*) ;;
            # shellcheck disable=SC2254
            $with_value) ((i++)) ;;
            -*) ;;
            *) break ;;
        esac
    done
    if ((i < cword)) || [[ $i -eq $cword && ${words[cword - 1]} == -- ]]; then
        _command_offset "$i"
        return
    fi

    case $prev in
        --drain-signal | --stop-signal | --pdeathsig | -p)
            _signals
            # _signals offers SIGTERM; drain-init also accepts TERM.
            COMPREPLY+=($(compgen -W "$(compgen -A signal | sed -n 's/^SIG//p')" -- "$cur"))
            return
            ;;
        --delay-term | --kill-after)
            COMPREPLY=($(compgen -W '500ms 1s 5s 10s 15s 30s' -- "$cur"))
            return
            ;;
        --rewrite | -r)
            COMPREPLY=($(compgen -W '15:0 15:2 15:3' -- "$cur"))
            __ltrimcolonnecompletions "$cur"
            return
            ;;
        --drain-cmd | --stop-cmd)
            compopt -o filenames
            COMPREPLY=($(compgen -c -- "$cur"))
            return
            ;;
        --drain-file | --copy-to)
            _filedir
            return
            ;;
        --remap-exit | -e) return ;;
    esac
    $split && return

    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '-c --single-child -r --rewrite -v --verbose -h --help -V --version
            --delay-term --drain-signal --drain-cmd --drain-file --stop-cmd --kill-after --stop-signal --wait-all --measure-drain --copy-to
            -q --quiet -s --subreaper -p --pdeathsig -g --group -e --remap-exit -w --warn-on-reap' -- "$cur"))
    else
        _command_offset "$i"
    fi
} &&
    complete -F _drain_init drain-init dumb-init
