"""Repair: does the defence remove the backdoor, and what does it cost?"""

from clipforensics.ui import repairing, rescanned, scanned, shell, state

shell.open_page("Repair")
with shell.complaints():
    case = state.active_case()
    if not scanned.is_scanned(case):
        shell.empty("This case has not been scanned yet.", "case", "Run the scan on the Case page")
    else:
        settings = repairing.choose(case)
        if repairing.ingredients(case, settings):
            repairing.launch(case, settings)
        repairing.shown_run(case)
        rescanned.compared(case)
