# shellcheck shell=bash
# Sourced by tests/hosts/run after mpi.bash: HOSTS hosts out of network namespaces of this machine, each
# with its own host name and network card on one switch. Nothing leaves the namespaces; hosts_down removes all.
HOSTS=3
NAME=pt$$ # of the namespaces: NAMEsw is the switch, NAME1 to NAME3 are the hosts
NET=10.93.7

hosts_possible() {
    [ "$(id -u)" -eq 0 ] || {
        echo "hosts need root"
        return 1
    }
    if ! command -v ip >/dev/null || ! command -v tc >/dev/null; then
        echo "hosts need ip and tc (package iproute2)"
        return 1
    fi
    if ! unshare -n -u true 2>/dev/null || ! ip netns add "${NAME}sw" 2>/dev/null; then
        echo "network namespaces are not allowed here"
        return 1
    fi
}

hosts_up() {
    local i
    ip -n "${NAME}sw" link set lo up
    ip -n "${NAME}sw" link add switch type bridge
    ip -n "${NAME}sw" link set switch up
    mkdir -p "/etc/netns"
    for ((i = 1; i <= HOSTS; i++)); do
        mkdir -p "/etc/netns/$NAME$i" # what a host has as /etc/hosts: names without a DNS
        {
            echo "127.0.0.1 localhost"
            for ((j = 1; j <= HOSTS; j++)); do echo "$NET.$j $NAME$j"; done
        } >"/etc/netns/$NAME$i/hosts"
        : >"/etc/netns/$NAME$i/resolv.conf"
        ip netns add "$NAME$i"
        ip -n "$NAME$i" link set lo up
        ip -n "${NAME}sw" link add "port$i" type veth peer name eth0 netns "$NAME$i"
        ip -n "${NAME}sw" link set "port$i" master switch up
        ip -n "$NAME$i" addr add "$NET.$i/24" dev eth0
        ip -n "$NAME$i" link set eth0 up
    done
    # How mpirun starts its daemon on another host: instead of ssh.
    cat >"$WORK/agent" <<'AGENT'
#!/bin/sh
h=$1
shift
exec ip netns exec "$h" unshare -u sh -c 'hostname "$0"; exec sh -c "$1"' "$h" "$*"
AGENT
    chmod +x "$WORK/agent"
}

hosts_down() {
    local i pid
    for i in "$NAME"1 "$NAME"2 "$NAME"3 "${NAME}sw"; do
        for pid in $(ip netns pids "$i" 2>/dev/null); do
            kill -9 "$pid" 2>/dev/null || true
        done
        ip netns del "$i" 2>/dev/null || true
        rm -rf "/etc/netns/$i" /dev/shm/vader_segment."$i".* "${TMPDIR:-/tmp}"/ompi."$i".*
    done
    rmdir /etc/netns 2>/dev/null || true
}

host_link() { # HOST up|down: its cable, at the switch
    ip -n "${NAME}sw" link set "port$1" "$2"
}

host_rate() { # HOST RATE|none: its link, both ways
    local end
    for end in "$NAME$1 eth0" "${NAME}sw port$1"; do
        # shellcheck disable=SC2086 # namespace and device
        set -- "$1" "$2" $end
        tc -n "$3" qdisc del dev "$4" root 2>/dev/null || true
        [ "$2" = none ] || tc -n "$3" qdisc add dev "$4" root tbf rate "$2" burst 256kb latency 100ms
    done
}

host_kill() { # HOST: its power is cut
    local pid
    host_link "$1" down
    for pid in $(ip netns pids "$NAME$1"); do
        kill -9 "$pid" 2>/dev/null || true
    done
}

# hosts_run N [mpirun options] PROGRAM ARGS...: from host 1, a rank on each host in turn. A host that is
# cut off is noticed after some 6 s.
hosts_run() {
    local n=$1 list="" i
    shift
    for ((i = 1; i <= HOSTS; i++)); do list+=",$NAME$i:$(((n + HOSTS - 1) / HOSTS))"; done
    # shellcheck disable=SC2016 # the host's shell expands
    ip netns exec "${NAME}1" unshare -u sh -c 'hostname "$0"; exec "$@"' "${NAME}1" \
        timeout "${LIMIT:-120}" mpirun -q -n "$n" --host "${list#,}" --map-by node --bind-to none \
        --mca plm rsh --mca plm_rsh_agent "$WORK/agent" --mca pml ob1 --mca btl tcp,self,vader \
        --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 --mca mpi_yield_when_idle 1 \
        --mca odls_base_sigkill_timeout 0 --mca oob_tcp_keepalive_time 3 \
        --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 "$@"
}
