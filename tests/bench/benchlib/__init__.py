"""The parts of bench.py, by subject.

    machine    cores, ports, processes and what they cost
    gateways   what is compared: nginx, HAProxy, a bare relay, fallthrough
    peers      gateways that are large downloads, and those that cannot be had
    cases      what is measured, in one table
    stage      a mock backend with gateways in front of it, and the loads
    rounds     the cases of the table, in interleaved rounds
    extras     what does not fit into it: a killed backend, a million requests, numbers of backends
    counting   instructions, under callgrind
    targets    what is to be reached
    table      how it is printed
"""
