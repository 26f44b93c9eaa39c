from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "apps.evaluation"
    label = "evaluation"
    verbose_name = "Evaluation"

    def ready(self) -> None:
        from apps.evaluation.running.stopping import add_stop_rule
        from apps.evaluation.selectors.gates import release_refusal
        from apps.evaluation.services.gates import seen_enough
        from apps.evaluation.signals import evaluation_finished
        from apps.evaluation.tasks import gate_may_be_decided, gate_new_version, gate_proposed_revision
        from apps.gateway.signals import route_revision_proposed
        from apps.prompts import release_rules
        from apps.prompts.signals import prompt_version_created

        release_rules.register(release_refusal)
        add_stop_rule(seen_enough)
        prompt_version_created.connect(gate_new_version, dispatch_uid="evaluation.gate")
        route_revision_proposed.connect(gate_proposed_revision, dispatch_uid="evaluation.gate")
        evaluation_finished.connect(gate_may_be_decided, dispatch_uid="evaluation.gate")
