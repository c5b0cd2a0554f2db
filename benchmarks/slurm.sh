#!/usr/bin/env bash
# A Slurm of one node on this machine (Debian's slurm-wlm and munge), as root, to try 'bocage map --cluster slurm' for real.
#
#   sudo benchmarks/slurm.sh start     munged, slurmctld and slurmd with a partition "main"; nothing else is changed
#   sudo benchmarks/slurm.sh stop
set -euo pipefail

STATE=/tmp/bocage-slurm
HOST=$(hostname -s)

configure() {
    mkdir -p "$STATE"/{ctld,d,log} /run/munge /var/log/munge /var/lib/munge /etc/munge /etc/slurm
    [ -f /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
    chown -R munge: /etc/munge /run/munge /var/log/munge /var/lib/munge
    chmod 0700 /etc/munge /var/log/munge /var/lib/munge
    chmod 0755 /run/munge
    chmod 0400 /etc/munge/munge.key
    cat > /etc/slurm/slurm.conf <<CONF
ClusterName=bocage
SlurmctldHost=$HOST
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/d
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MpiDefault=none
NodeName=$HOST CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 500)) State=UNKNOWN
PartitionName=main Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
    configure
    pgrep -x munged > /dev/null || su -s /bin/sh munge -c munged 2> /dev/null || runuser -u munge -- /usr/sbin/munged
    pgrep -x slurmctld > /dev/null || slurmctld
    pgrep -x slurmd > /dev/null || slurmd
    for _ in $(seq 20); do
        sinfo -h -o %T 2> /dev/null | grep -q idle && break
        sleep 1
    done
    sinfo
}

stop() {
    pkill -x slurmd || true
    pkill -x slurmctld || true
    pkill -x munged || true
}

"${1:-start}"
