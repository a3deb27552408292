"""Which jobs there are, by name; each is imported only when it runs."""

KINDS = {
    "scan": "clipforensics.jobs.repairing.rescan:run",
    "calibrate": "clipforensics.jobs.scanning.calibrating:run",
    "triggers": "clipforensics.jobs.hunting.triggers:run",
    "invert": "clipforensics.jobs.hunting.inverting:run",
    "repair": "clipforensics.jobs.repairing.repair:run",
    "lab": "clipforensics.jobs.attacking.lab:run",
    "demo": "clipforensics.jobs.attacking.demo:run",
}
