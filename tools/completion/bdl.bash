# Made by tools/gen_reference.py from the field tables; do not edit.
# bash completion for bdl
_bdl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="train launch eval predict inspect layers schema bench doctor version --help --version"
    elif [ "$before" = --data ] || [ "$before" = --val ]; then
        words="cifar10 csv digits images mnist npy synthetic"
    elif [ "$before" = --precision ]; then
        words="fp32 fp32_exact bf16 f64"
    elif [ "$before" = --format ]; then
        words="table csv jsonl"
    elif [[ $word == --* ]]; then
        case $verb in
        train) words="--data --val --batch --shards --epochs --iterations --until --optim --schedule --loss --metrics --target --precision --transform --clip --seed --checkpoint --every --keep --resume --start --seconds --bucket --wire --save --log --summary --most_broken --readers --json --threads --quiet --help" ;;
        launch) words="-n --threads -- train" ;;
        eval) words="--data --batch --loss --metrics --target --most_broken --transform --precision --json --threads --quiet --help" ;;
        predict) words="--data --top --batch --transform --precision --json --format --out --threads --quiet --help" ;;
        inspect) words="--plan --predict --json --batch --loss --precision --threads --quiet --help" ;;
        layers) words="--help" ;;
        schema) words="--json --help" ;;
        bench) words="--json --threads --quiet --help" ;;
        doctor) words="--json --threads --help" ;;
        version) words="--help" ;;
        esac
    elif [ "$verb" = layers ]; then
        words="abs adaptive_avg_pool2d adaptive_max_pool2d add add_constant avg_pool2d batch_norm bce bce_with_logits clamp concat conv2d cross_entropy div dropout elu erf exp expm1 flatten floor gelu gradient_reversal group_norm hard_shrink hard_sigmoid hard_swish hard_tanh identity instance_norm l1 layer_norm leaky_relu linear log log1p log_sigmoid log_softmax lrn mae max_pool2d maximum minimum mish mse mul mul_constant narrow negative nll pad permute power prelu reciprocal relu relu6 reshape rms_norm select selu sigmoid silu smooth_l1 soft_shrink softmax softmin softplus softsign spatial_dropout split sqrt square squeeze sub tanh tanh_shrink threshold top1 top5 top_k transpose unsqueeze"
    elif [ "$COMP_CWORD" -eq 2 ]; then
        words="alexnet autoencoder inception_v1 lenet lenet_caffe linear mlp resnet vgg16 vgg19 vgg_cifar"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -f -- "$word")
}
complete -o filenames -F _bdl bdl
