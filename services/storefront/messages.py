"""The storefront publishes no events and answers no commands: its pages show what other services have."""
