"""The services of the API, each under the API's own name."""
