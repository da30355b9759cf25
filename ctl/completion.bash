# SPDX-License-Identifier: BSD-2-Clause
# bash completion for peerdistctl

# Where the command stands in COMP_WORDS, or nothing.
_peerdistctl_command()
{
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | --color | --timeout) ((i++)) ;;
		-*) ;;
		*)
			echo "$i"
			return
			;;
		esac
	done
}

_peerdistctl_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_peerdistctl_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
}

_peerdistctl_ci()
{
	local verb=$1
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--version) _peerdistctl_words "1 2" ;;
	--secret-file | -o) _peerdistctl_files ;;
	ci) _peerdistctl_words "make show --help" ;;
	*)
		if [[ $verb == make && ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
			_peerdistctl_words "--version --secret-file -o --help"
		else
			_peerdistctl_files
		fi
		;;
	esac
}

_peerdistctl_config()
{
	case $1 in
	show) _peerdistctl_words "--origin --help" ;;
	check) _peerdistctl_files ;;
	*) _peerdistctl_words "show check --help" ;;
	esac
}

_peerdistctl_cache()
{
	case $1 in
	flush) _peerdistctl_words "--content --help" ;;
	verify) _peerdistctl_words "--repair --help" ;;
	set-size)
		if [[ ${COMP_WORDS[COMP_CWORD - 1]} == set-size ]]; then
			_peerdistctl_words "data hash --help"
		fi
		;;
	show | ls) ;;
	*) _peerdistctl_words "show ls flush verify set-size --help" ;;
	esac
}

_peerdistctl_publish()
{
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --version ]]; then
		_peerdistctl_words "1 2 both"
	elif [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_peerdistctl_words "-r --recursive --version --help"
	else
		_peerdistctl_files
	fi
}

# Ids of publications, of the service of the same command line.
_peerdistctl_ids()
{
	local i at=$1 options=()
	for ((i = 1; i + 1 < at; i++)); do
		[[ ${COMP_WORDS[i]} != --socket ]] ||
			options=(--socket "${COMP_WORDS[i + 1]}")
	done
	_peerdistctl_words "$("${COMP_WORDS[0]}" "${options[@]}" --timeout 2 \
		published ls 2>/dev/null | awk 'NR > 1 { print $1 }') --help"
}

_peerdistctl_published()
{
	case $1 in
	ls) ;;
	show) _peerdistctl_ids "$2" ;;
	*) _peerdistctl_words "ls show --help" ;;
	esac
}

_peerdistctl_secret()
{
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --passphrase-file ]]; then
		_peerdistctl_files
		return
	fi
	case $1 in
	set) _peerdistctl_words "--passphrase-file --help" ;;
	export | import)
		if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
			_peerdistctl_words "--passphrase-file --help"
		else
			_peerdistctl_files
		fi
		;;
	fingerprint) ;;
	*) _peerdistctl_words "set export import fingerprint --help" ;;
	esac
}

_peerdistctl_mode()
{
	case $1 in
	get) ;;
	set) _peerdistctl_words "local distributed --help" ;;
	*) _peerdistctl_words "get set --help" ;;
	esac
}

# Addresses of peers, of the service of the same command line.
_peerdistctl_addresses()
{
	local i at=$1 options=()
	for ((i = 1; i + 1 < at; i++)); do
		[[ ${COMP_WORDS[i]} != --socket ]] ||
			options=(--socket "${COMP_WORDS[i + 1]}")
	done
	# Without the port: bash takes a colon for the end of a word.
	_peerdistctl_words "$("${COMP_WORDS[0]}" "${options[@]}" --timeout 2 \
		peers ls 2>/dev/null |
		awk 'NR > 1 && !/^\[/ { sub(":.*", ""); print $1 }') --help"
}

_peerdistctl_peers()
{
	case $1 in
	ls) ;;
	forgive) _peerdistctl_addresses "$2" ;;
	*) _peerdistctl_words "ls forgive --help" ;;
	esac
}

_peerdistctl_probe()
{
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --version ]]; then
		_peerdistctl_words "1 2"
	else
		_peerdistctl_words "--version --help"
	fi
}

_peerdistctl_explain()
{
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_peerdistctl_words "--help"
	else
		_peerdistctl_files
	fi
}

_peerdistctl()
{
	local at verb=
	COMPREPLY=()
	at=$(_peerdistctl_command)
	if [[ -z $at ]]; then
		case ${COMP_WORDS[COMP_CWORD - 1]} in
		--socket) _peerdistctl_files ;;
		--color) _peerdistctl_words "auto always never" ;;
		--timeout) ;;
		*) _peerdistctl_words "--socket --json -q --color --yes
			--timeout --version --help status sessions operations
			cancel ci config reload cache publish unpublish
			published secret mode peers probe explain" ;;
		esac
		return
	fi
	((at + 1 < COMP_CWORD)) && verb=${COMP_WORDS[at + 1]}
	case ${COMP_WORDS[at]} in
	status) _peerdistctl_words "--all --help" ;;
	operations) _peerdistctl_words "--uid --help" ;;
	ci) _peerdistctl_ci "$verb" ;;
	config) _peerdistctl_config "$verb" ;;
	cache) _peerdistctl_cache "$verb" ;;
	publish) _peerdistctl_publish ;;
	published) _peerdistctl_published "$verb" "$at" ;;
	unpublish) _peerdistctl_ids "$at" ;;
	secret) _peerdistctl_secret "$verb" ;;
	mode) _peerdistctl_mode "$verb" ;;
	peers) _peerdistctl_peers "$verb" "$at" ;;
	probe) _peerdistctl_probe ;;
	explain) _peerdistctl_explain ;;
	*) _peerdistctl_words "--help" ;;
	esac
}

complete -F _peerdistctl peerdistctl
