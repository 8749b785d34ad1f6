"""The report of a conversion: `report.html` for people, `report.json` for programs."""
