"""The report's page: one HTML file that holds every image, opens offline and fetches nothing."""
