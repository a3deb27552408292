"""Which jobs there are, by name; each is imported only when it runs."""

KINDS = {
    "scan": "clipforensics.jobs.scan:run",
    "calibrate": "clipforensics.jobs.calibrating:run",
    "triggers": "clipforensics.jobs.triggers:run",
    "invert": "clipforensics.jobs.inverting:run",
    "repair": "clipforensics.jobs.repair:run",
    "lab": "clipforensics.jobs.lab:run",
    "demo": "clipforensics.jobs.demo:run",
}
