"""Programs that an agency or an administrator runs."""
