"""What contestants and figures are called, for those who tell of them and compute nothing."""

TITLES = {
    "model": "model",
    "random": "random",
    "longest_silent": "longest silent",
    "biggest_drop": "biggest drop in events",
    "tenure_contract": "tenure and contract only",
    "logistic_all": "logistic regression, all features",
    "champion": "champion",
}

UNITS = {
    "average_precision": "area under precision over recall, 0 to 1",
    "precision_at_list": "share of the customers on the list who churned",
    "recall_at_list": "share of the churned who were on the list",
    "f1_at_list": "harmonic mean of precision and recall at the list",
    "lift_at_list": "precision at the list / share of all customers who churned",
    "accuracy_at_half": "share of rows on the right side of risk .5",
    "roc_auc": "probability that a churned customer ranks above a staying one",
    "log_loss": "nats per customer and snapshot; lower is better",
    "log_loss_skill": "1 - log loss / that of giving everyone the base rate; 0 = no better",
    "calibration_ratio": "mean predicted risk / observed churn rate",
    "calibration_slope": "1 = spread as it should be; below 1 the risks are too extreme",
    "base_rate": "share of rows that churned",
    "n_rows": "test rows: customers summed over test snapshots",
    "n_churned": "test rows that churned",
    "n_list": "places on the list, summed over test snapshots",
}
