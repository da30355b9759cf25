# SPDX-License-Identifier: BSD-2-Clause
# bash completion for peerdist-get

_peerdist_get()
{
	local word=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-o | --output)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	--wait)
		mapfile -t COMPREPLY < <(compgen -W "0 10s 40s 5min" -- "$word")
		;;
	*)
		[[ $word != -* ]] ||
			mapfile -t COMPREPLY < <(compgen -W "-o --output --continue
				--no-peers --wait --json --quiet --version
				--help" -- "$word")
		;;
	esac
}

complete -F _peerdist_get peerdist-get
