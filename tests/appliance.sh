#!/bin/bash
# Tests the binaries for small machines: builds them (cross/build), and runs the tests of the whole server
# with them, where need be in an emulator (Debian's qemu-user-static, installed if run as root).
#
#   tests/appliance.sh linux310     what fits into every run: what cargo built, as on Linux 3.10
#   tests/appliance.sh quick TARGET...
#                                   these targets, as fast as it goes, in every run of .ci/run: built without --release, the
#                                   whole server's tests in an emulator. Says so and ends well where the compiler or the
#                                   emulator cannot be loaded, or not everything is built after QUICK_SECONDS (420)
#   tests/appliance.sh parts TARGET...
#                                   the tests of all parts (transcripts, stores, index) on the machine TARGET, in an emulator
#   tests/appliance.sh TARGET...    these targets, x86_64 also as on Linux 3.10; see cross/build --list
#   tests/appliance.sh all          every target
#   tests/appliance.sh packages [TARGET...]
#                                   packages of what cross/build made (x86_64 without a word): built twice, verified,
#                                   run in a container, installed in a Debian of its own. As root it installs skopeo,
#                                   umoci, runc, lintian, mmdebstrap and busybox first; what is missing is said
#   tests/appliance.sh memory       1,000 idle sessions over TLS with the profile of a Raspberry Pi, in a cgroup of 64 MB (as
#                                   root), with what cross/build made for x86_64, else with what cargo built
#   tests/appliance.sh boot [virt|malta]...
#                                   starts whole machines in QEMU from disks that images/build_virt.py makes (virt without a
#                                   word): mail in and out, memory, 20 hard kills, the other slot. As root it installs
#                                   QEMU and squashfs-tools first
set -eu
cd "$(dirname "$0")/.."

say() { printf 'tests/appliance.sh: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# Tests that look at processes from outside (their memory, what the kernel lets them do, what the disk holds
# at an instant) see an emulator instead; those with a debugger's build or other programs say nothing new. QEMU
# does not know how a terminal of MIPS is asked for its settings (TCGETS2).
emulated='test(/^(delivery|login|tls|command_line|survival)::/)'
# QEMU's memory lies beside that of the program, and limits on it (RLIMIT_DATA) are kept from both.
measured='test(a_password_that_the_board_cannot_check) | test(moved_much_holds_no_buffers)'
# How long something takes is no matter of the machine, and with what is built in haste longer than those who ask wait.
timed='(test(/^login::(an_unknown_user_looks_like|each_failure_of_an_address|guesses_at_once|few_passwords_are_hashed)/)
    | test(/^delivery::the_next_message_goes_the_way/))'
# The kernel makes one of a stack of musl and what lies beside it.
static='not test(stack_octets)'
# Of the tests of the parts; words of the test runner.
unfit=''

# Runs tests with a binary; the words before it run it. FILTER is nextest's.
run_tests() { # FILTER WORDS...
    local filter=$1
    shift
    say "tests with $*"
    DOVELET_BIN="$*" NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$(($(nproc) + 3))} \
        cargo nextest run --config-file tests/nextest.toml --test serve -E "$filter" --no-fail-fast
}

install_emulators() {
    ! has qemu-arm-static || return 0
    if [ "$(id -u)" = 0 ] && has apt-get; then
        apt-get update -qq || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static >/dev/null || true
    fi
}

install_packers() {
    local missing=''
    for program in skopeo umoci runc lintian mmdebstrap busybox; do
        has "$program" || missing="$missing $program"
    done
    [ -n "$missing" ] && [ "$(id -u)" = 0 ] && has apt-get || return 0
    apt-get update -qq || true
    for program in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$program" >/dev/null ||
            say "could not install $program"
    done
}

# Two builds at two places have to be the same octets.
test_packages() { # TARGET...
    local target binaries='' kind of out=target/images/packages
    rm -rf "$out"
    # Of one commit, also if there is another one meanwhile.
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    for target in "$@"; do
        binaries="$binaries $(binary_of "$target")"
    done
    for kind in 'oci x86_64 aarch64 armv7 arm' 'deb x86_64 aarch64 armv7' 'ipk x86_64 aarch64 armv7 arm mipsel' \
        'spk x86_64 aarch64'; do
        of=$(for target in ${kind#* }; do printf '%s\n' $binaries | grep "^$target=" || true; done)
        [ -n "$of" ] || continue
        kind=${kind%% *}
        python3 "images/build_$kind.py" "$out/$kind" $of
        python3 "images/build_$kind.py" "$out/again" $of >/dev/null
        for file in "$out/$kind"/*; do
            cmp "$file" "$out/again/${file##*/}"
            python3 "images/check_$kind.py" "$file"
        done
    done
    for file in "$out"/deb/*_amd64.deb; do
        [ ! -f "$file" ] || images/install_deb "$file"
    done
}

# The executable of a target, built if it is not there; one over its budget will do.
binary_of() { # TARGET
    [ -x "target/cross/bin/$1/dovelet" ] || cross/build "$1" >&2 || [ $? = 3 ]
    printf '%s=target/cross/bin/%s/dovelet' "$1" "$1"
}

test_boot() { # virt|malta
    local target=aarch64 emulator=qemu-system-aarch64 package=qemu-system-arm large=0 mib=12 files=target/images/$1-files program
    [ "$1" = virt ] || { target=mipsel emulator=qemu-system-mipsel package=qemu-system-mips large=10000 mib=160; }
    for program in "$emulator $package" 'mksquashfs squashfs-tools' 'busybox busybox'; do
        has "${program% *}" || { [ "$(id -u)" = 0 ] && has apt-get &&
            { apt-get update -qq || true; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${program#* }" >/dev/null; }; } || true
        has "${program% *}" || { say "no ${program% *}: the machine $1 is skipped"; return 0; }
    done
    rm -rf "$files"
    python3 tests/boot/check.py --prepare "$files" "$large"
    python3 images/build_virt.py --data-mib "$mib" --files "$files" "target/images/boot" "$(binary_of "$target")"
    for image in target/images/boot/dovelet-*-"$1".img; do
        python3 images/check_virt.py "$image"
        python3 tests/boot/check.py "$1" "$image"
    done
}

test_target() {
    EMULATOR='' RUST_TARGET=''
    . "cross/targets/$1.env"
    local binary=target/cross/bin/$1/dovelet
    if [ "$1" = "$(uname -m)" ]; then
        run_tests "$static" "$PWD/$binary"
        run_tests "$emulated" python3 "$PWD/cross/linux310.py" "$PWD/$binary"
        return
    fi
    install_emulators
    has "${EMULATOR%% *}" || { say "no ${EMULATOR%% *}: tests of $1 are skipped"; return 0; }
    run_tests "$emulated - ($measured)" $EMULATOR "$PWD/$binary"
}

# Builds for tests; false, and said why, if what that takes is not to be had.
can_test() { # tests|parts TARGET [SECONDS]
    local code=0
    EMULATOR=''
    . "cross/targets/$2.env"
    install_emulators
    has "${EMULATOR%% *}" || { say "no ${EMULATOR%% *}: tests of $2 are skipped"; return 1; }
    ${3:+timeout "$3"} cross/build "--$1" "$2" || code=$?
    case $code in
    0) ;;
    124) say "$2 was not built within $3 seconds: its tests are skipped"; return 1 ;;
    4) say "what builds for $2 cannot be loaded: its tests are skipped"; return 1 ;;
    *) exit "$code" ;;
    esac
}

test_quick() { # TARGET...
    local target most=${QUICK_SECONDS:-420} left
    [ "$most" -gt 0 ] || most=1
    # All of them at once; each says below whether it can be tested.
    timeout "$most" cross/setup "$@" || case $? in 4 | 124) ;; *) exit 1 ;; esac
    for target in "$@"; do
        left=$((most - SECONDS))
        [ "$left" -gt 0 ] || left=1
        can_test tests "$target" "$left" || continue
        run_tests "$emulated - ($measured) - $timed" $EMULATOR "$PWD/target/cross/tests/$target/dovelet"
        say "$target: done after $SECONDS seconds"
    done
}

test_parts() { # TARGET...
    local target
    for target in "$@"; do
        can_test parts "$target" || continue
        say "tests of the parts with $EMULATOR"
        $EMULATOR "target/cross/tests/$target/unit" $unfit
    done
}

[ $# != 0 ] || { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; exit 2; }
if [ "$1" = packages ]; then
    shift
    install_packers
    test_packages "${@:-x86_64}"
    exit
fi
if [ "$1" = memory ]; then
    binary=target/cross/bin/x86_64/dovelet
    [ -x "$binary" ] || binary=target/debug/dovelet
    say "memory with $binary"
    python3 tests/boot/cgroup.py "$binary"
    exit
fi
if [ "$1" = boot ]; then
    shift
    for machine in "${@:-virt}"; do
        case $machine in virt | malta) test_boot "$machine" ;; *) say "no such machine: $machine"; exit 2 ;; esac
    done
    exit
fi
cargo nextest --version >/dev/null 2>&1 || { say "skipped: needs cargo-nextest"; exit 0; }
if [ "$(uname -m)" != x86_64 ]; then
    say "skipped: not on x86_64"
    exit 0
fi
if [ "$*" = linux310 ]; then
    run_tests "$emulated" python3 "$PWD/cross/linux310.py" "$PWD/target/debug/dovelet"
    exit
fi
case $1 in
quick | parts)
    kind=$1
    shift
    "test_$kind" "$@"
    exit
    ;;
esac
[ "$*" != all ] || set -- $(cross/build --list)
# One over its budget is tested all the same.
cross/build "$@" || [ $? = 3 ]
for target in "$@"; do
    test_target "$target"
done
